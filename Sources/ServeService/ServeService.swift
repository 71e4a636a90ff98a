// ServeService: the daemon's inside: requests in OpenAI's shapes, each with a decision before it and a receipt after it.
//
// owns      the loaded model and its lease, the life of a request from body to receipt, replays, metrics, the two doors' routes
// promises  no token before its intent is durable, no last byte before its outcome is; a model stays in memory only while its lease lives;
//           SIGTERM ends every answer with a whole last chunk
// never     touches a disk with weights, prompts or answers; names a principal from anything a caller wrote
// flow      HTTPRequest → InferenceRequest → KnownCaller → Permit → Generation… → TokenEvent… → AnswerShape → outcome → receipt
