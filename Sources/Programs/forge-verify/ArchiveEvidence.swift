/// An exported archive (docs/formats/audit-tree.md §6).
final class ArchiveEvidence: Evidence {
    private let root: String
    private let log: Key
    private let witnesses: [Key]
    private let sha: SHA256
    private let latest: Checkpoint
    private var names: ArraySlice<String>
    private var isLatestGiven = false
    private var bundle: [[UInt8]] = []
    private var bundlePath = ""
    private var index: UInt64 = 0
    private var tiles: [[UInt8]] = []
    private var lines: LineBox?
    let hasCatalog: Bool
    private(set) var cosigned: UInt64 = 0
    private(set) var signers: [(name: String, time: UInt64)] = []

    /// - Parameter given: the log's key as it came on another way.
    init(_ root: String, given: Key?, sha: SHA256) throws {
        self.root = root
        self.sha = sha
        func path(_ name: String) -> String { root + "/" + name }
        guard try Files.read(path("FORMAT")).elementsEqual("forge-audit-archive 1\n".utf8) else { throw Bad("FORMAT: not an archive of version 1") }
        let inside = try Place.name("keys/log.vkey") { try Key(String(decoding: try Files.read(path("keys/log.vkey")), as: UTF8.self), sha) }
        guard given == nil || given == inside else { throw Bad("keys/log.vkey: not the key that was given") }
        log = inside
        guard log.type == 1 else { throw Bad("keys/log.vkey: not a key of a log") }
        witnesses = try Place.name("keys/witnesses.vkeys") {
            try String(decoding: try Files.read(path("keys/witnesses.vkeys")), as: UTF8.self).split(separator: "\n").map { try Key(String($0), sha) }
        }
        let (log, witnesses) = (self.log, self.witnesses)
        latest = try Place.name("checkpoint") { try Checkpoint(try Files.read(path("checkpoint")), log: log, witnesses: witnesses) }
        names = try Files.list(path("checkpoints"))[...]
        hasCatalog = Files.isThere(path("catalog.jsonl"))
        if hasCatalog { lines = try LineBox(path("catalog.jsonl")) }
        note(latest)
        try checkNames()
    }

    var logKey: Key { log }
    var witnessKeys: [Key] { witnesses }

    private func note(_ checkpoint: Checkpoint) {
        if !checkpoint.witnesses.isEmpty, checkpoint.size >= cosigned { (cosigned, signers) = (checkpoint.size, checkpoint.witnesses) }
    }

    func nextCheckpoint() throws -> (place: String, size: UInt64, root: Hash)? {
        if let name = names.popFirst() {
            let place = "checkpoints/\(name)"
            let checkpoint = try Place.name(place) { try Checkpoint(try Files.read(root + "/" + place), log: log, witnesses: witnesses) }
            let digits = String(checkpoint.size)
            guard name == String(repeating: "0", count: 20 - digits.count) + digits, checkpoint.size < latest.size else { throw Bad("\(place): it is a checkpoint of size \(checkpoint.size)") }
            note(checkpoint)
            return (place, checkpoint.size, checkpoint.root)
        }
        guard !isLatestGiven else { return nil }
        isLatestGiven = true
        return ("checkpoint", latest.size, latest.root)
    }

    func nextLeaf() throws -> (place: String, bytes: [UInt8], storedHash: Hash?)? {
        guard index < latest.size else { return nil }
        let place = Int(index % 256)
        if place == 0 {
            let width = Int(min(256, latest.size - index))
            bundlePath = TileNames.path("entries", index / 256, width)
            var file = try OpenFile(root + "/" + bundlePath)
            bundle = []
            for _ in 0..<width {
                let count = try file.exactly(2)
                bundle.append(try file.exactly(Int(count[0]) << 8 | Int(count[1])))
            }
            guard try file.next(1) == nil else { throw Bad("\(bundlePath): something follows its last record") }
        }
        index += 1
        return (bundlePath, bundle[place], nil)
    }

    func check(level: Int, index: UInt64, hash: Hash) throws {
        guard level.isMultiple(of: 8) else { return }
        let tile = level / 8
        while tiles.count <= tile { tiles.append([]) }
        tiles[tile] += hash.bytes
        if tiles[tile].count == 256 * 32 {
            try compare(tile, index / 256, 256)
            tiles[tile] = []
        }
    }

    private func compare(_ tile: Int, _ index: UInt64, _ width: Int) throws {
        let path = TileNames.path(String(tile), index, width)
        guard try Files.read(root + "/" + path) == tiles[tile] else { throw Bad("\(path): it does not hold the hashes of the records") }
    }

    func check(_ leaf: Leaf) throws {}

    func finish(size: UInt64) throws {
        for (tile, hashes) in tiles.enumerated() where !hashes.isEmpty {
            let count = size >> UInt64(8 * tile)
            try compare(tile, count / 256, hashes.count / 32)
        }
    }

    func nextRow() throws -> CatalogRow? {
        guard let lines, let line = try lines.next() else { return nil }
        let place = "catalog.jsonl line \(lines.number)"
        let value = try Place.name(place) { try StrictJSON.parse(line) }
        guard let members = value.members, let record = value["record"]?.int, record >= 0 else { throw Bad("\(place): not a row") }
        var named = Dictionary(uniqueKeysWithValues: members.map { ($0.name, $0.value) })
        named["from"] = nil
        return CatalogRow(record: UInt64(record), members: named, place: place)
    }

    /// Nothing travels along that nothing vouches for. Names follow from the size, so none is remembered.
    private func checkNames() throws {
        func walk(_ folder: String) throws {
            for name in try Files.list(folder.isEmpty ? root : root + "/" + folder) {
                let path = folder.isEmpty ? name : folder + "/" + name
                if Files.isDirectory(root + "/" + path) { try walk(path) } else if !isExpected(path) { throw Bad("\(path): nothing vouches for this file") }
            }
        }
        try walk("")
    }

    private func isExpected(_ path: String) -> Bool {
        if ["FORMAT", "checkpoint", "keys/log.vkey", "keys/witnesses.vkeys", "catalog.jsonl"].contains(path) { return true }
        if path.hasPrefix("checkpoints/") { return true }  // read one by one, and compared with their names
        guard path.hasPrefix("tile/") else { return false }
        let rest = path.dropFirst(5)
        guard let slash = rest.firstIndex(of: "/") else { return false }
        let level = String(rest[..<slash])
        let count: UInt64
        if level == "entries" {
            count = latest.size
        } else {
            guard let number = Text.decimal(level), number < 8 else { return false }
            count = latest.size >> (8 * number)
        }
        guard let (index, width) = TileNames.parse(String(rest[rest.index(after: slash)...])), index * 256 < count else { return false }
        return UInt64(width) == min(256, count - index * 256)
    }
}

/// A reader of lines that a class can keep.
final class LineBox {
    private var reader: LineReader
    init(_ path: String) throws { reader = try LineReader(path) }
    func next() throws -> [UInt8]? { try reader.next() }
    var number: Int { reader.number }
}

/// Puts the place in front of what is wrong there.
enum Place {
    static func name<T>(_ place: String, _ body: () throws -> T) throws -> T {
        do { return try body() } catch let bad as Bad { throw Bad(bad.what.contains(place) ? bad.what : "\(place): \(bad.what)") }
    }
}

/// Names of tiles (docs/formats/audit-tree.md §4).
enum TileNames {
    static func path(_ level: String, _ index: UInt64, _ width: Int) -> String {
        var groups: [String] = []
        var rest = index
        repeat {
            let digits = String(rest % 1000)
            groups.insert((groups.isEmpty ? "" : "x") + String(repeating: "0", count: 3 - digits.count) + digits, at: 0)
            rest /= 1000
        } while rest > 0
        return "tile/\(level)/\(groups.joined(separator: "/"))" + (width == 256 ? "" : ".p/\(width)")
    }

    /// Index and width of what follows `tile/<level>/`; nil for any other spelling.
    static func parse(_ text: String) -> (UInt64, Int)? {
        var parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        var width = 256
        if parts.count >= 2, parts[parts.count - 2].hasSuffix(".p"), let given = Text.decimal(parts[parts.count - 1]) {
            width = Int(given)
            parts.removeLast()
            parts[parts.count - 1].removeLast(2)
        }
        var index: UInt64 = 0
        for part in parts {
            let digits = part.hasPrefix("x") ? String(part.dropFirst()) : part
            guard digits.utf8.count == 3, let group = UInt64(digits), index < 1 << 50 else { return nil }
            index = index * 1000 + group
        }
        guard (1...256).contains(width), path("0", index, width) == "tile/0/" + text else { return nil }
        return (index, width)
    }
}
