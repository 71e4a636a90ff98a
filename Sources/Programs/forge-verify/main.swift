// forge-verify: re-derives what the audit log claims, from its bytes alone.
//
// owns      an own reader of every format in docs/formats/{audit-leaf,audit-tree,checkpoint,catalog}.md; it shares no line with the
//           programs it judges and stands on libcrypto and SQLite alone
// promises  exit 0 only if every record, hash, signed root, signature, time, pairing and catalog row agrees; otherwise it names the
//           first index or file that does not; memory that does not grow with the log
// never     writes, repairs, or talks to a daemon
// flow      state directory or archive → Evidence → Judge, record by record → verdict and exit code

import Glibc

let usage = """
    usage: forge-verify PATH [--log-key FILE] [--witness FILE] [--state-of-admin DIR] [--quiet]

    Verifies a copy of the registry's state directory, or an exported archive.

      --log-key FILE        the log's verifier key as you were given it; without it the key in PATH is used, and the verdict only says
                            that PATH agrees with itself
      --witness FILE        the last checkpoint a witness signed; PATH must contain it
      --state-of-admin DIR  forge-admin's state directory (or another witness's): what it signed last, and the log's key
      --quiet               the last line alone

    exit codes: 0 verified · 1 not true (the first wrong index or file is named) · 2 wrong command line · 3 something could not be read
    """

struct Options {
    var path = ""
    var logKey: String?
    var witness: String?
    var admin: String?
    var isQuiet = false

    init?(_ words: some Sequence<String>) {
        var words = Array(words)[...]
        while let word = words.popFirst() {
            switch word {
            case "--log-key": logKey = words.popFirst() ?? ""
            case "--witness": witness = words.popFirst() ?? ""
            case "--state-of-admin": admin = words.popFirst() ?? ""
            case "--quiet": isQuiet = true
            case _ where path.isEmpty && !word.hasPrefix("-"): path = word
            default: return nil
            }
        }
        if path.isEmpty || [logKey, witness, admin].contains("") { return nil }
    }
}

func say(_ text: String) { print(text) }

func complain(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = unsafe write(2, bytes, bytes.count)
}

func verify(_ options: Options) throws {
    let sha = SHA256()
    func key(_ path: String) throws -> Key { try Place.name(path) { try Key(String(decoding: try Files.read(path, limit: 4096), as: UTF8.self), sha) } }
    var given = try options.logKey.map(key)
    let admin = try options.admin.map { try AdminState($0, sha) }
    if let admin, let path = options.admin {
        guard given == nil || given == admin.log else { throw Bad("\(path): it watches a log with another key than the one that was given") }
        given = admin.log
    }

    let isArchive = Files.isThere(options.path + "/FORMAT")
    guard isArchive || Files.isThere(options.path + "/" + DatabaseEvidence.fileName) else {
        throw Unreadable(what: "\(options.path): neither a registry's state directory (\(DatabaseEvidence.fileName)) nor an archive (FORMAT)")
    }
    let archive = isArchive ? try ArchiveEvidence(options.path, given: given, sha: sha) : nil
    let database = isArchive ? nil : try DatabaseEvidence(options.path, given: given, sha: sha)
    guard let evidence: any Evidence = archive ?? database, let log = archive?.logKey ?? database?.logKey else { return }
    let witnesses = archive?.witnessKeys ?? database?.witnessKeys ?? []
    if let admin, let path = options.admin { try admin.checkKeys(path, witnesses: witnesses, pin: isArchive ? nil : options.path + "/admin.key") }

    var outside: [(place: String, size: UInt64, root: Hash)] = [admin?.head].compactMap(\.self)
    if let path = options.witness {
        let checkpoint = try Place.name(path) { try Checkpoint(try Files.read(path, limit: 1 << 17), log: log, witnesses: witnesses) }
        guard !checkpoint.witnesses.isEmpty else { throw Bad("\(path): no witness we know signed it") }
        outside.append((path, checkpoint.size, checkpoint.root))
    }

    var judge = Judge(evidence, outside: outside, sha: sha)
    let verdict = try judge.run()
    if !options.isQuiet {
        let cosigned = archive?.cosigned ?? database?.cosigned ?? 0
        let signers = (archive?.signers ?? database?.signers ?? []).map(\.name)
        say("log          \(log.name)")
        say("key          \(log.line)\(given == nil ? " (taken from what was verified; compare it with the one you were given)" : "")")
        say("records      \(verdict.records), root \(Text.base64(verdict.root.bytes))")
        say("checkpoints  \(verdict.checkpoints) verified, the latest of size \(verdict.signed); unsigned tail: \(verdict.records - verdict.signed)")
        say("witnesses    " + (signers.isEmpty ? "nobody cosigned" : "\(signers.joined(separator: ", ")) up to size \(cosigned)") + "; unwitnessed tail: \(verdict.records - cosigned)")
        for head in outside { say("outside      \(head.place) agrees at size \(head.size)") }
        say("time         \(verdict.boots) boots, \(verdict.clockSteps) clock steps on record; \(verdict.sealed) records left something out while sealed")
        say("catalog      " + (evidence.hasCatalog ? "\(verdict.facts) rows stand as recorded" : "not in this archive") + (database.map { ", \($0.blobs) sealed files whole" } ?? ""))
        say("intents      \(verdict.intents), open: " + (verdict.open.isEmpty ? "none" : verdict.open.prefix(20).map { "\($0.index) (\($0.action))" }.joined(separator: ", ") + (verdict.open.count > 20 ? " and \(verdict.open.count - 20) more" : "")))
    }
    say("VERIFIED \(verdict.records) records")
}

guard let options = Options(CommandLine.arguments.dropFirst()) else {
    complain(usage)
    exit(2)
}
do {
    try verify(options)
} catch let bad as Bad {
    say("NOT VERIFIED: \(bad.what)")
    exit(1)
} catch let unreadable as Unreadable {
    complain("forge-verify: cannot read \(unreadable.what)")
    exit(3)
}
