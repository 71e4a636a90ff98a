// ForgeData: from files as people have them to batches a trainer can take.
//
// owns      what counts as a document, reading it to text, personal data, near-duplicates, the split, the data set's digest, token shards, the batch cursor,
//           and the Kneser–Ney baseline
// promises  no input traps, hangs or grows beyond its bound; the same files in any order give the same digest; the same cursor gives the same batches;
//           no group of near-duplicates stands on both sides of the split (docs/formats/dataset.md, token-shard.md)
// never     opens a user's file (bytes arrive), asks for permission or keeps a key
// flow      bytes → DocumentReader → text → Ingestor → Dataset (leaves, root, report)      texts → Tokenizer → TokenShard → BatchCursor → Batch
