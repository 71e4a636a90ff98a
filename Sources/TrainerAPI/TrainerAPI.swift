// TrainerAPI: what forged is asked, and how to ask it.
//
// owns      the messages of docs/api/trainer.yaml, the ingest stream (docs/formats/ingest-stream.md), the typed client
// promises  a message that does not read as described is a `.request` fault; every count of the stream is bounded before memory is taken for it
// never     reads a document's meaning, holds a key, or talks to anything but the trainer's socket
// flow      files → IngestEncoder → POST /v1/datasets → IngestReply        recipe.yaml → RunSubmission → RunView … MetricsPage
