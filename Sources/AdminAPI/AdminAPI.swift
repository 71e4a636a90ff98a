// AdminAPI: what forge-admin is asked, and how to ask it.
//
// owns      the messages of docs/api/admin.yaml and the typed client
// promises  a message that does not read as described is a `.request` fault; the client throws forge-admin's own faults
// never     decides, signs or verifies
// flow      AdminClient(HTTPClient) → path + message → Fault or message
