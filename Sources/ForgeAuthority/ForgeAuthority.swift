// ForgeAuthority: the guard inside each daemon.
//
// owns      who a caller is, the mirror of forge-admin's entity snapshot, the authority that judges, records and answers
// promises  no snapshot, no bundle, no record: no permit. A credential is known by its digest; a stale mirror denies
// never     holds a person's key, decides a privileged action (forge-admin does), or believes a name a caller sends
// flow      Caller → Identifier → KnownCaller → AccessRequest → DaemonAuthority (PolicyEngine + AuditPort) → Decision
