import CSQLite
package import ForgeCore
import ForgeOS

/// One connection to the registry's file. Not for sharing: it belongs to the actor that opened it.
///
/// Debian 12's SQLite (3.40) can corrupt a WAL database when one connection checkpoints while another commits, so there is one
/// writer per file, it alone checkpoints, and every other connection is read-only (docs/formats/catalog.md §1).
@safe package final class Database {
    package enum Access: Hashable, Sendable {
        /// The one connection that writes and checkpoints; makes the file when there is none.
        case writer
        case reader
    }

    package static let applicationID: Int64 = 0x4652_4731
    package static let schemaVersion: Int64 = 1

    package let path: String
    package let access: Access
    // SAFETY: the handle is opened in init, used by the owner of this object alone (SQLITE_OPEN_NOMUTEX), closed in deinit.
    private let handle: OpaquePointer
    private var statements: [String: OpaquePointer] = unsafe [:]
    private let lock: LockBox?
    private let wal: WALPages

    /// Opens, checks that the file is ours, sets every pragma and reads it back.
    /// - Throws: `os.locked` when another writer has the file, `store.foreign` or `store.newer` when it is not ours to write.
    package init(_ path: String, _ access: Access) throws(Fault) {
        self.path = path
        self.access = access
        lock = access == .writer ? LockBox(try FileLock(Path.join(Path.parent(path), "registry.lock"), holder: "forge-registry")) : nil
        let flags = access == .writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY
        var opened: OpaquePointer?
        let result = unsafe sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW, nil)
        guard result == SQLITE_OK, let opened = unsafe opened else {
            unsafe sqlite3_close_v2(opened)
            throw Fault.store("unopened", "cannot open the catalog `\(path)`", why: unsafe String(cString: sqlite3_errstr(result)), remedy: "check that the state directory is there and who owns it")
        }
        unsafe handle = opened
        wal = WALPages()
        do throws(Fault) {
            try configure()
        } catch {
            closeHandle()
            throw error
        }
    }

    deinit { closeHandle() }

    private func closeHandle() {
        for unsafe statement in unsafe statements.values { unsafe sqlite3_finalize(statement) }
        unsafe statements = [:]
        unsafe sqlite3_close_v2(handle)
    }

    private func configure() throws(Fault) {
        unsafe sqlite3_busy_timeout(handle, 2000)
        unsafe sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0)
        // Whether it is ours comes before anything that could change it.
        let application = try pragma("application_id")
        let version = try pragma("user_version")
        let tables = try first("SELECT count(*) FROM sqlite_schema")?.int(0) ?? 0
        let isNew = application == "0" && version == "0" && tables == 0
        guard isNew || application == String(Database.applicationID) else {
            throw Fault.store("foreign", "`\(path)` is not a registry's catalog", why: "its application id is \(application)", remedy: "look which file stands there; nothing was changed")
        }
        guard isNew || (Int64(version).map { $0 <= Database.schemaVersion } ?? false) else {
            throw Fault.store("newer", "`\(path)` was written by a newer release", why: "its schema has version \(version), this program knows \(Database.schemaVersion)", remedy: "install the newer release again")
        }
        if access == .writer {
            try set("journal_mode", "wal")
            // FULL only after WAL: changing the journal mode can reset it, and NORMAL may lose acknowledged records.
            try set("synchronous", "2", given: "FULL")
            try set("foreign_keys", "1")
            try set("secure_delete", "1")
            // Without it REPLACE would remove rows behind the triggers' back.
            try set("recursive_triggers", "1")
            try set("wal_autocheckpoint", "0")
            unsafe wal.watch(handle)
        } else {
            guard !isNew else { throw Fault.store("unopened", "cannot read the catalog `\(path)`", why: "it is empty") }
            try set("query_only", "1")
        }
        try set("trusted_schema", "0")
        try set("cell_size_check", "1")
        try set("temp_store", "2", given: "MEMORY")
        try set("mmap_size", "0")
        if isNew { try create() }
    }

    /// Sets a pragma and reads it back: SQLite ignores what it does not know.
    private func set(_ name: String, _ expected: String, given: String? = nil) throws(Fault) {
        try execute("PRAGMA \(name)=\(given ?? expected)")
        let got = try pragma(name)
        guard got.lowercased() == expected || (name == "mmap_size" && got.isEmpty) else {
            throw Fault.store("pragma", "the catalog's safety cannot be set up", why: "`\(name)` is `\(got)`, not `\(expected)`", remedy: "check the file system and the installed SQLite")
        }
    }

    package func pragma(_ name: String) throws(Fault) -> String {
        let value = try rows(cached: "PRAGMA \(name)", []).first?.values.first
        return switch value {
        case .int(let value): String(value)
        case .text(let value): value
        default: ""
        }
    }

    // MARK: statements

    /// Runs a statement that returns no rows. The text is a literal: values are bound, never spliced.
    package func run(_ sql: StaticString, _ values: (any SQLBindable)?...) throws(Fault) { _ = try rows(cached: sql.description, values.map { $0?.sql ?? .null }) }

    package func rows(_ sql: StaticString, _ values: (any SQLBindable)?...) throws(Fault) -> [SQLRow] { try rows(cached: sql.description, values.map { $0?.sql ?? .null }) }

    package func first(_ sql: StaticString, _ values: (any SQLBindable)?...) throws(Fault) -> SQLRow? { try rows(cached: sql.description, values.map { $0?.sql ?? .null }).first }

    /// Hands each row over as it comes, in constant memory.
    package func forEach(_ sql: StaticString, _ values: (any SQLBindable)?..., body: (SQLRow) throws(Fault) -> Void) throws(Fault) {
        try step(cached: sql.description, values.map { $0?.sql ?? .null }, body)
    }

    private func rows(cached sql: String, _ values: [SQLValue]) throws(Fault) -> [SQLRow] {
        var rows: [SQLRow] = []
        try step(cached: sql, values) { row throws(Fault) in rows.append(row) }
        return rows
    }

    private func step(cached sql: String, _ values: [SQLValue], _ body: (SQLRow) throws(Fault) -> Void) throws(Fault) {
        let statement = unsafe try prepare(sql)
        defer {
            unsafe sqlite3_reset(statement)
            unsafe sqlite3_clear_bindings(statement)
        }
        precondition(unsafe Int(sqlite3_bind_parameter_count(statement)) == values.count, "a statement is given as many values as it names")
        for (i, value) in values.enumerated() {
            let place = Int32(i + 1)
            let result =
                switch value {
                case .null: unsafe sqlite3_bind_null(statement, place)
                case .int(let value): unsafe sqlite3_bind_int64(statement, place, value)
                case .text(let value): unsafe sqlite3_bind_text(statement, place, value, -1, transient)
                case .blob(let value) where value.isEmpty: unsafe sqlite3_bind_zeroblob(statement, place, 0)
                case .blob(let value): unsafe sqlite3_bind_blob(statement, place, value, Int32(value.count), transient)
                }
            guard result == SQLITE_OK else { throw fault(result, sql) }
        }
        while true {
            let result = unsafe sqlite3_step(statement)
            if result == SQLITE_DONE { return }
            guard result == SQLITE_ROW else { throw fault(result, sql) }
            try body(unsafe row(statement))
        }
    }

    private func row(_ statement: OpaquePointer) -> SQLRow {
        SQLRow(
            values: (Int32(0)..<(unsafe sqlite3_column_count(statement))).map { column in
                switch unsafe sqlite3_column_type(statement, column) {
                case SQLITE_INTEGER: return .int(unsafe sqlite3_column_int64(statement, column))
                case SQLITE_TEXT: return .text(unsafe String(cString: sqlite3_column_text(statement, column)))
                case SQLITE_BLOB:
                    let count = Int(unsafe sqlite3_column_bytes(statement, column))
                    guard count > 0, let start = unsafe sqlite3_column_blob(statement, column) else { return .blob([]) }
                    return .blob(unsafe Array(UnsafeRawBufferPointer(start: start, count: count)))
                default: return .null
                }
            })
    }

    private func prepare(_ sql: String) throws(Fault) -> OpaquePointer {
        if let statement = unsafe statements[sql] { return unsafe statement }
        var statement: OpaquePointer?
        let result = unsafe sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard result == SQLITE_OK, let statement = unsafe statement else { throw fault(result, sql) }
        unsafe statements[sql] = statement
        return unsafe statement
    }

    /// Runs a script of our own, such as the schema.
    func execute(_ script: String) throws(Fault) {
        let result = unsafe sqlite3_exec(handle, script, nil, nil, nil)
        guard result == SQLITE_OK else { throw fault(result, script) }
    }

    // MARK: what can go wrong

    private func fault(_ result: Int32, _ sql: String) -> Fault {
        let why = unsafe String(cString: sqlite3_errmsg(handle))
        let detail = "SQLite \(result) in `\(sql.prefix(120))`"
        switch result & 0xff {
        case SQLITE_FULL: return Database.full(detail)
        case SQLITE_IOERR where result == (SQLITE_IOERR | 19 << 8):  // SQLITE_IOERR_SHMSIZE: the index of the WAL found no room
            return Database.full(detail)
        case SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_NOMEM:
            return .store("io", "the catalog cannot be written or read", why: why, remedy: "look at the kernel log; the registry stops and verifies its log when it starts again", detail: detail)
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return .store("corrupt", "the catalog is damaged", why: why, remedy: "run `forge-verify` on a copy and restore a backup", detail: detail)
        case SQLITE_CONSTRAINT:
            return Fault(.request, "store.constraint", "the catalog refuses the change", why: why, detail: detail)
        case SQLITE_BUSY, SQLITE_LOCKED:
            return .store("busy", "the catalog is busy", why: why, retryable: true, detail: detail)
        case SQLITE_READONLY:
            return .store("readonly", "the catalog cannot be written", why: why, remedy: "check the mount and who owns the state directory", detail: detail)
        default: return .store("failed", "the catalog refuses a statement", why: why, detail: detail)
        }
    }

    static func full(_ detail: String) -> Fault {
        .store(
            "full", "nothing can be put on record", why: "no space is left on the file system of the registry",
            remedy: "free space there; until then only an officer's export, verification and seal are recorded, in the reserve", retryable: true, detail: detail)
    }

    // MARK: transactions; the writer's alone

    /// False once SQLite has rolled the transaction back by itself.
    var isInTransaction: Bool { unsafe sqlite3_get_autocommit(handle) == 0 }

    /// References are checked at the commit of this transaction instead of at each statement: a row may name the record that follows it.
    package func deferReferences() throws(Fault) { try run("PRAGMA defer_foreign_keys=ON") }

    func begin() throws(Fault) { try execute("BEGIN IMMEDIATE") }
    func commit() throws(Fault) { try execute("COMMIT") }

    func rollback() {
        if isInTransaction { try? execute("ROLLBACK") }
    }

    /// Moves committed pages from the WAL into the file when enough have gathered. PASSIVE: never waits for a reader.
    /// - Throws: `.store.io` only; a full disk leaves the WAL as it is.
    func checkpointIfDue(pages: Int32 = 1000) throws(Fault) {
        guard wal.pages >= pages else { return }
        try checkpoint()
    }

    package func checkpoint() throws(Fault) {
        let result = unsafe sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
        wal.pages = 0
        guard result != SQLITE_OK, result & 0xff != SQLITE_BUSY, result & 0xff != SQLITE_FULL else { return }
        throw fault(result, "checkpoint")
    }

    /// SQLite's own view of the file, and every reference between tables.
    package func check() throws(Fault) {
        let lines = try rows("PRAGMA quick_check")
        let first = try lines.first?.text(0) ?? ""
        guard lines.count == 1, first == "ok" else {
            throw Fault.store("corrupt", "the catalog is damaged", why: first, remedy: "run `forge-verify` on a copy and restore a backup")
        }
        guard try rows("PRAGMA foreign_key_check").isEmpty else {
            throw Fault.store("corrupt", "the catalog is damaged", why: "a row refers to a row that is not there", remedy: "run `forge-verify` on a copy and restore a backup")
        }
    }

    /// A consistent copy in one file, made without stopping the writer.
    package func copy(to path: String) throws(Fault) { try run("VACUUM INTO ?", path) }

    /// The library this process runs with; written to the log at start.
    package static var libraryVersion: String { unsafe String(cString: sqlite3_libversion()) }
}

/// SQLITE_TRANSIENT: SQLite copies what is bound before the call returns.
// SAFETY: the C header defines it as -1 cast to a function pointer, a macro Swift does not import; SQLite compares it and never calls it.
private var transient: sqlite3_destructor_type { unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

/// Holds the lock for the life of the connection.
private final class LockBox: Sendable {
    private let lock: FileLock
    init(_ lock: consuming FileLock) { self.lock = lock }
}

/// How many pages the WAL holds, as SQLite tells after each commit.
@safe private final class WALPages {
    // SAFETY: written by SQLite inside a commit of the one owner, read by the same owner after it.
    private let counter: UnsafeMutablePointer<Int32>

    init() {
        unsafe counter = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        unsafe counter.initialize(to: 0)
    }

    deinit { unsafe counter.deallocate() }

    var pages: Int32 {
        get { unsafe counter.pointee }
        set { unsafe counter.pointee = newValue }
    }

    func watch(_ handle: OpaquePointer) {
        unsafe sqlite3_wal_hook(
            handle,
            { context, _, _, pages in
                unsafe context?.assumingMemoryBound(to: Int32.self).pointee = pages
                return SQLITE_OK
            }, counter)
    }
}
