// ServeAPI: what forge-serve is asked, how it answers, and how to ask it.
//
// owns      requests and answers in OpenAI's shapes, the error object, receipts and what they commit to, the operator's messages, the typed client
// promises  a parameter is understood, refused by name, or bounded: never ignored; the bytes on the wire are those unmodified OpenAI clients read
// never     computes a token, decides, or keeps anything
// flow      bytes → InferenceRequest → (forge-serve) → AnswerShape → bytes → Completion; Fault ↔ error object
