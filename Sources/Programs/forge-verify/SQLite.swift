import CSQLite

/// A database opened for reading, and the statements on it.
@safe final class SQLite {
    // SAFETY: opened in init, used by one thread, closed in deinit after its statements.
    private let handle: OpaquePointer
    private let path: String
    private var statements: [Statement] = []

    init(_ path: String) throws {
        self.path = path
        guard Files.isThere(path) else { throw Bad("\(path): missing") }
        var opened: OpaquePointer?
        let result = unsafe sqlite3_open_v2(path, &opened, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nil)
        guard result == SQLITE_OK, let opened = unsafe opened else {
            unsafe sqlite3_close_v2(opened)
            throw Unreadable(what: "\(path): \(unsafe String(cString: sqlite3_errstr(result)))")
        }
        unsafe handle = opened
    }

    deinit {
        statements = []
        unsafe sqlite3_close_v2(handle)
    }

    func prepare(_ sql: String) throws -> Statement {
        var statement: OpaquePointer?
        let result = unsafe sqlite3_prepare_v2(handle, sql, -1, &statement, nil)
        guard result == SQLITE_OK, let statement = unsafe statement else { throw damaged(result) }
        return unsafe Statement(statement, self)
    }

    /// The first column of the first row.
    func one(_ sql: String) throws -> Column? {
        let statement = try prepare(sql)
        return try statement.next() ? statement[0] : nil
    }

    fileprivate func damaged(_ result: Int32) -> any Error {
        let why = unsafe String(cString: sqlite3_errmsg(handle))
        switch result & 0xff {
        case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_ERROR, SQLITE_CONSTRAINT: return Bad("\(path): the database is damaged: \(why)")
        default: return Unreadable(what: "\(path): \(why)")
        }
    }
}

enum Column: Hashable {
    case null
    case int(Int64)
    case text(String)
    case blob([UInt8])

    var int: Int64? { if case .int(let value) = self { value } else { nil } }
    var text: String? { if case .text(let value) = self { value } else { nil } }
    var blob: [UInt8]? { if case .blob(let value) = self { value } else { nil } }
}

@safe final class Statement {
    // SAFETY: finalised in deinit; the database it belongs to is kept alive by `owner`.
    private let statement: OpaquePointer
    private let owner: SQLite

    init(_ statement: OpaquePointer, _ owner: SQLite) {
        unsafe self.statement = statement
        self.owner = owner
    }

    deinit { unsafe sqlite3_finalize(statement) }

    func bind(_ values: Int64...) {
        unsafe sqlite3_reset(statement)
        for (place, value) in values.enumerated() { unsafe sqlite3_bind_int64(statement, Int32(place + 1), value) }
    }

    func next() throws -> Bool {
        let result = unsafe sqlite3_step(statement)
        switch result {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw owner.damaged(result)
        }
    }

    /// Columns of a row.
    var count: Int { Int(unsafe sqlite3_column_count(statement)) }

    subscript(column: Int) -> Column {
        let column = Int32(column)
        switch unsafe sqlite3_column_type(statement, column) {
        case SQLITE_INTEGER: return .int(unsafe sqlite3_column_int64(statement, column))
        case SQLITE_TEXT: return .text(unsafe String(decoding: UnsafeRawBufferPointer(start: sqlite3_column_text(statement, column), count: Int(sqlite3_column_bytes(statement, column))), as: UTF8.self))
        case SQLITE_BLOB:
            let count = Int(unsafe sqlite3_column_bytes(statement, column))
            guard count > 0, let start = unsafe sqlite3_column_blob(statement, column) else { return .blob([]) }
            return .blob(unsafe Array(UnsafeRawBufferPointer(start: start, count: count)))
        default: return .null
        }
    }
}

/// The write-ahead log beside a database. SQLite stops reading it at the first frame whose checksum does not fit, without a word: so a
/// changed byte there looks like a shorter log. This reads it as the format says and tells the difference.
enum WriteAheadLog {
    static func check(_ path: String) throws {
        guard Files.isThere(path) else { return }
        var file = try OpenFile(path)
        guard let header = try file.next(32), header.count == 32 else { return }  // empty: nothing was written since the last reset
        func word(_ bytes: [UInt8], _ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        let magic = word(header, 0)
        guard magic == 0x377f_0682 || magic == 0x377f_0683, word(header, 4) == 3_007_000 else { throw Bad("\(path): its header is damaged") }
        let pageSize = Int(word(header, 8))
        guard pageSize.nonzeroBitCount == 1, (512...65536).contains(pageSize) else { throw Bad("\(path): its header is damaged") }
        let isBig = magic & 1 == 1
        var (s0, s1): (UInt32, UInt32) = (0, 0)
        func add(_ bytes: ArraySlice<UInt8>) {
            var at = bytes.startIndex
            while at < bytes.endIndex {
                func number(_ at: Int) -> UInt32 {
                    isBig ? bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } : bytes[at..<at + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
                }
                s0 = s0 &+ number(at) &+ s1
                s1 = s1 &+ number(at + 4) &+ s0
                at += 8
            }
        }
        add(header[0..<24])
        guard s0 == word(header, 24), s1 == word(header, 28) else { throw Bad("\(path): its header is damaged") }
        let salt = Array(header[16..<24])
        var frame = 0
        var broken: Int?
        while let bytes = try file.next(24 + pageSize), bytes.count == 24 + pageSize {
            frame += 1
            // Frames of an earlier turn of the file carry other salts: what follows the first of them is old.
            guard Array(bytes[8..<16]) == salt else { break }
            if broken == nil {
                add(bytes[0..<8])
                add(bytes[24...])
                if s0 != word(bytes, 16) || s1 != word(bytes, 20) { broken = frame }
            }
            if let broken, word(bytes, 4) != 0 {
                throw Bad("\(path): frame \(broken) is damaged, and a transaction was committed after it (after a power cut start the registry once, then verify again)")
            }
        }
    }
}
