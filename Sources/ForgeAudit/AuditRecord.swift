package import ForgeCore
package import ForgeGate

/// Where and when a record was made; the registry's part of a leaf. Times are microseconds.
package struct LeafStamp: Hashable, Sendable {
    /// How much the kernel trusts its clock.
    package struct ClockState: Hashable, Sendable {
        package var isSynchronised: Bool
        /// Microseconds.
        package var errorMax: Int64
        package var source: String

        package init(isSynchronised: Bool, errorMax: Int64, source: String) {
            self.isSynchronised = isSynchronised
            self.errorMax = errorMax
            self.source = source
        }
    }

    /// Whose statement the record is.
    package struct Service: Hashable, Sendable {
        package var unit: DaemonName
        package var pid: Int64
        package var uid: UInt32
        package var build: String

        package init(_ unit: DaemonName, pid: Int64, uid: UInt32, build: String = ForgeVersion.current) {
            self.unit = unit
            self.pid = pid
            self.uid = uid
            self.build = build
        }
    }

    package var index: AuditIndex
    package var time: Int64
    package var boottime: Int64
    package var boot: ID
    package var clock: ClockState
    package var service: Service

    package init(index: AuditIndex, time: Int64, boottime: Int64, boot: ID, clock: ClockState, service: Service) {
        self.index = index
        self.time = time
        self.boottime = boottime
        self.boot = boot
        self.clock = clock
        self.service = service
    }
}

/// One leaf of the log. Its bytes are made once and kept; nothing re-encodes them (docs/formats/audit-leaf.md).
package struct AuditRecord: Hashable, Sendable {
    package static let bytesMax = 8192
    package static let version: Int64 = 1

    package let stamp: LeafStamp
    /// As the leaf shows it: hashed values hashed, dropped values gone, no `detail`.
    package let entry: AuditEntry
    /// Epoch of the redaction key, when a value is hashed.
    package let redactionEpoch: Int64?
    /// Paths of the values that were given and left out, sorted.
    package let dropped: [String]
    /// Salted digest of the erasable detail.
    package let detail: Digest?
    /// The leaf itself.
    package let bytes: [UInt8]

    package var index: AuditIndex { stamp.index }
    package var leafHash: Digest { Merkle.leafHash(bytes) }

    /// Encodes a leaf.
    /// - Parameter detail: SHA-256(salt ‖ detail), when the entry has one.
    /// - Throws: `.request` when the entry contradicts itself, a fact does not fit the schema, or the leaf exceeds 8192 bytes.
    package init(_ entry: AuditEntry, stamp: LeafStamp, redactor: Redactor, detail: Digest? = nil) throws(Fault) {
        try entry.validate()
        let redacted = try redactor.redact(entry)
        self.stamp = stamp
        var shown = redacted.entry
        shown.detail = nil
        self.entry = shown
        redactionEpoch = redacted.epoch
        dropped = redacted.dropped
        self.detail = detail

        var members = JSON.Object()
        shown.write(to: &members)
        members["v"] = .int(AuditRecord.version)
        members["seq"] = .int(Int64(stamp.index))
        members["t"] = .int(stamp.time)
        members["bt"] = .int(stamp.boottime)
        members["boot"] = .string(stamp.boot.description)
        members["clk"] = ["err": .int(stamp.clock.errorMax), "src": .string(stamp.clock.source), "synced": .bool(stamp.clock.isSynchronised)]
        members["svc"] = [
            "build": .string(stamp.service.build), "pid": .int(stamp.service.pid), "uid": .int(Int64(stamp.service.uid)), "unit": .string(stamp.service.unit.rawValue),
        ]
        if let detail { members["dc"] = .string(detail.description) }
        if let epoch = redacted.epoch { members["hk"] = .int(epoch) }
        if !redacted.dropped.isEmpty { members["drop"] = .array(redacted.dropped.map { .string($0) }) }
        bytes = JSON.object(members).canonical
        guard bytes.count <= AuditRecord.bytesMax else {
            throw .malformed("the record of `\(entry.action.rawValue)` is too long", "its leaf would have \(bytes.count) bytes, at most \(AuditRecord.bytesMax) are kept; put long text into the detail")
        }
    }

    /// Reads a leaf as strictly as an independent verifier would: canonical bytes, known members, the rules of its phase and schema.
    package init(parsing bytes: [UInt8]) throws(Fault) {
        guard bytes.count <= AuditRecord.bytesMax else { throw .malformed("a leaf does not read", "it is longer than \(AuditRecord.bytesMax) bytes") }
        let value: JSON
        do { value = try JSON.parse(bytes, limits: .init(bytes: AuditRecord.bytesMax, depth: 16)) } catch { throw .malformed("a leaf does not read", error.description) }
        guard value.isCanonicalisable, value.canonical == bytes else { throw .malformed("a leaf does not read", "it is not canonical JSON") }
        let fields = try Fields(value, "a leaf")
        guard try fields.integer("v") == AuditRecord.version else { throw fields.fault("v", "is not a version this program knows") }
        let clock = try fields.object("clk")
        let service = try fields.object("svc")
        guard let unit = DaemonName(rawValue: try service.required("unit")), let uid = UInt32(exactly: try service.integer("uid")) else {
            throw fields.fault("svc", "names no daemon")
        }
        guard let boot = ID(parsing: try fields.required("boot")) else { throw fields.fault("boot", "is not an id") }
        stamp = LeafStamp(
            index: UInt64(try fields.integer("seq")), time: try fields.integer("t"), boottime: try fields.integer("bt"), boot: boot,
            clock: .init(isSynchronised: try clock.bool("synced"), errorMax: try clock.integer("err"), source: try clock.required("src")),
            service: .init(unit, pid: try service.integer("pid"), uid: uid, build: try service.required("build")))
        try clock.finish()
        try service.finish()
        guard Fields.isWord(stamp.clock.source) else { throw fields.fault("clk", "has a source that is not a word") }
        detail = try fields.digest("dc")
        entry = try AuditEntry(fields)
        redactionEpoch = try fields.value("hk") == nil ? nil : try fields.integer("hk")
        dropped = try fields.texts("drop", max: 33) ?? []
        try fields.finish()
        try entry.validate()
        self.bytes = bytes

        var isHashed = entry.why != nil
        if let why = entry.why, !FactClass.isHashed(.string(why)) { throw fields.fault("why", "is not hashed") }
        for (name, fact) in entry.data.members {
            switch FactClass.of(name) {
            case .clear(let kind): guard kind.admits(fact) else { throw fields.fault("data.\(name)", "is not of its type") }
            case .hmac:
                guard FactClass.isField(name), FactClass.isHashed(fact) else { throw fields.fault("data.\(name.prefix(64))", "is not hashed") }
                isHashed = true
            case .drop: throw fields.fault("data.\(name)", "is never recorded")
            }
        }
        guard isHashed == (redactionEpoch != nil), redactionEpoch != 0 else { throw fields.fault("hk", "stands exactly where a value is hashed, and counts from 1") }
        guard try fields.value("drop") == nil || !dropped.isEmpty else { throw fields.fault("drop", "is empty") }
        var previous: String?
        for path in dropped {
            guard previous.map({ $0.utf8.lexicographicallyPrecedes(path.utf8) }) ?? true else { throw fields.fault("drop", "is not sorted") }
            previous = path
            let name = path.hasPrefix("data.") ? String(path.dropFirst(5)) : ""
            let isKnown: Bool = path == "why" ? entry.why == nil : FactClass.isField(name) && entry.data[name] == nil
            guard isKnown else { throw fields.fault("drop", "names something that cannot be dropped, or that is there") }
            if case .clear = FactClass.of(name), path != "why" { throw fields.fault("drop", "names a fact that is kept clear") }
        }
    }
}
