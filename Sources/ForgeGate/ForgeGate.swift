// ForgeGate: permission as a value.
//
// owns      `Principal`, `AccessRequest`, `Decision`, `Permit`, and the one place where a decision becomes a permit
// promises  a `Permit` exists only after its decision is durably on record, and is spent by use
// never     evaluates a policy (ForgePolicy), talks to a peer (the APIs) or touches a disk
// flow      Caller → Principal → AccessRequest → Authority.decide → Decision → Permit → effect → outcome record
