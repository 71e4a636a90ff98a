// ForgeHTTP: the one transport between programs on this machine: HTTP/1.1 over Unix sockets.
//
// owns      routes, requests with their caller, responses (whole, streamed, server-sent events), the server's limits and its
//           drain, the client, and how a `Fault` looks on the wire
// promises  a handler knows who calls from the kernel's word alone; every length, count and wait is bounded; a handler is cancelled
//           when its client has gone; one exact route answers or none; a refusal on the wire carries what, why and remedy
// never     decides (ForgeGate), opens a network socket, or logs a bearer, a query or a body
// flow      socket → peer credentials → head → route → body → handler → response; client: socket → request → reply or Fault
