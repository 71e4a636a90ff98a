// ForgeAutograd: a tape of fused operations, planned once and run many times.
//
// owns      `Tape` (what is computed, forward and backward), `Buffer` (a place in planned memory), the memory plan, each
//           operation's backward rule
// promises  no recursion over the graph; memory is taken once, when the tape is sealed, and its size is known before;
//           running a tape allocates nothing; gradients add up in one fixed order
// never     knows a model's architecture (ForgeNN), an optimiser, or where data come from
// flow      Tape.embed/linear/… record → seal → plan (liveness → offsets) → run(.train) or run(.evaluate)
