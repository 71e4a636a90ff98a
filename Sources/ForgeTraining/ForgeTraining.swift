// ForgeTraining: from a recipe and token shards to a model, exactly repeatable.
//
// owns      `Recipe` (what people write), the optimiser, the learning-rate schedule, the training step, checkpoints of
//           training state, the estimate before a run, scoring in bits per byte
// promises  the same recipe, data, seed and kernel family give the same bits, on any number of threads and across a kill at
//           any moment; the loss is averaged over the targets of the whole step; what a checkpoint says is durable
// never     asks for permission, releases a key, talks to a daemon or reads a document (the worker process does)
// flow      recipe.yaml → Recipe → TrainingRun(shard, folder, key) → step()… → checkpoint() → finish() → model files
