import ForgeCore
import ForgeOS
import Testing

@Suite struct FileTests {
    @Test func `what was replaced durably is there whole, with its mode, and nothing temporary is left`() throws {
        let scratch = try Scratch()
        try Durable.replace(scratch["a"], with: Array("one".utf8))
        try Durable.replace(scratch["a"], with: Array("two".utf8), mode: 0o640)
        #expect(text(try File(scratch["a"], .read).readAll(limit: 16)) == "two")
        #expect(try Path.information(scratch["a"])?.mode == 0o640)
        #expect(try Path.list(scratch.path) == ["a"])
    }

    @Test func `creating what exists is refused and leaves it alone`() throws {
        let scratch = try Scratch()
        try Durable.create(scratch["a"], with: Array("one".utf8))
        let fault = #expect(throws: Fault.self) { try Durable.create(scratch["a"], with: Array("two".utf8)) }
        #expect(fault?.code == "os.eexist")
        #expect(fault?.what == "cannot create `\(scratch["a"])`")
        #expect(text(try File(scratch["a"], .read).readAll(limit: 16)) == "one")
        #expect(try Path.list(scratch.path) == ["a"])
    }

    @Test func `a file that is cut while it is read ends in a fault, and what is no file is refused`() throws {
        let scratch = try Scratch()
        try Durable.replace(scratch["a"], with: Array("0123456789".utf8))
        let file = try SourceFile(scratch["a"])
        #expect(file.count == 10)
        #expect(try text(file.bytes(3..<7)) == "3456")
        var out = Array("........".utf8)
        try file.read(8..<10, into: &out, at: 6)
        #expect(text(out) == "......89")
        try File(scratch["a"], .update).truncate(to: 5)
        #expect(try text(file.bytes(3..<5)) == "34")
        for range in [3..<7, 5..<6, 9..<10] {
            let fault = #expect(throws: Fault.self) { _ = try file.bytes(range) }
            #expect(fault?.code == "os.cut" && fault?.kind == .request)
            #expect(fault?.why == "it had 10 bytes and now ends before \(range.upperBound)")
        }
        #expect(try file.bytes(10..<10) == [])
        #expect(throws: Fault.self) { _ = try SourceFile(scratch.path) }
        #expect(throws: Fault.self) { _ = try SourceFile("/dev/zero") }
    }

    @Test func `a file written in pieces appears when it was found good, or not at all`() throws {
        let scratch = try Scratch(), bad = Fault(.request, "test.bad", "it is bad")
        func create(write: Bool = true, check: Bool = true) throws(Fault) {
            try Durable.create(scratch["a"], mode: 0o640) { (file) throws(Fault) in
                try file.write(Array("one ".utf8))
                guard write else { throw bad }
                try file.write(Array("two".utf8))
            } checking: { (path) throws(Fault) in
                #expect(path != scratch["a"] && Durable.isTemporary(Path.name(path)) && !Path.exists(scratch["a"]))
                #expect(try text(File(path, .read).readAll(limit: 16)) == "one two")
                guard check else { throw bad }
            }
        }
        for (write, check) in [(false, true), (true, false)] {
            let fault = #expect(throws: Fault.self) { try create(write: write, check: check) }
            #expect(try fault?.code == "test.bad" && Path.list(scratch.path).isEmpty)
        }
        try create()
        #expect(try text(File(scratch["a"], .read).readAll(limit: 16)) == "one two" && Path.information(scratch["a"])?.mode == 0o640)
        let fault = #expect(throws: Fault.self) { try create() }
        #expect(try fault?.code == "os.eexist" && Path.list(scratch.path) == ["a"])
    }

    @Test func `an appended line stays in order and the size is known`() throws {
        let scratch = try Scratch()
        var log = try AppendFile(scratch["log"])
        try log.append(Array("a\n".utf8))
        try log.append(Array("b\n".utf8))
        #expect(log.size == 4)
        var again = try AppendFile(scratch["log"])
        try again.append(Array("c\n".utf8))
        #expect(text(try File(scratch["log"], .read).readAll(limit: 16)) == "a\nb\nc\n")
    }

    @Test func `a full device makes an append fail for good`() throws {
        // /dev/full answers every write with ENOSPC.
        var file = try AppendFile("/dev/full")
        let first = #expect(throws: Fault.self) { try file.append([1]) }
        let second = #expect(throws: Fault.self) { try file.append([1]) }
        #expect(first?.code == "os.enospc")
        #expect(first?.retryable == true)
        #expect(second?.code == first?.code)
    }

    @Test func `a file too short, too large, missing or a link is a fault that names it`() throws {
        let scratch = try Scratch()
        try Durable.create(scratch["a"], with: [1, 2, 3])
        #expect(try File(scratch["a"], .read).read(10, at: 1) == [2, 3])
        #expect(throws: Fault.self) { try File(scratch["a"], .read).readExactly(10, at: 0) }
        #expect(throws: Fault.self) { try File(scratch["a"], .read).readAll(limit: 2) }
        let missing = #expect(throws: Fault.self) { _ = try File(scratch["b"], .read) }
        #expect(missing?.message == "cannot open `\(scratch["b"])`: it does not exist")
        try shell("ln -s a \(scratch["link"])")
        let link = #expect(throws: Fault.self) { _ = try File(scratch["link"], .read) }
        #expect(link?.code == "os.eloop")
    }

    @Test func `directories are made with those above them and removed with those below`() throws {
        let scratch = try Scratch()
        try Durable.makeDirectory(scratch["x/y/z"])
        try Durable.makeDirectory(scratch["x/y/z"])
        try Durable.create(scratch["x/y/f"], with: [])
        #expect(try Path.information(scratch["x/y"])?.kind == .directory)
        #expect(try Path.information(scratch["x/y"])?.mode == 0o700)
        try Path.removeTree(scratch["x"])
        #expect(try Path.information(scratch["x"]) == nil)
        #expect(throws: Fault.self) { try Durable.makeDirectory("/dev/null/x") }
    }

    @Test(arguments: [("/a/b", "/a", "b"), ("/a", "/", "a"), ("a", ".", "a"), ("a/b/", "a", "b"), ("/", "/", "/")])
    func `a path has a parent and a name`(path: String, parent: String, name: String) {
        #expect(Path.parent(path) == parent)
        #expect(Path.name(path) == name)
    }

    @Test func `paths join without doubling the slash, and an absolute part starts anew`() {
        #expect(Path.join("/a/", "b", "", "c") == "/a/b/c")
        #expect(Path.join("a", "/b") == "/b")
    }

    @Test func `a lock is held once and names its holder`() throws {
        let scratch = try Scratch()
        do {
            let lock = try FileLock(scratch["lock"], holder: "forge-registry")
            let fault = #expect(throws: Fault.self) { _ = try FileLock(scratch["lock"], holder: "forge-registry") }
            #expect(fault?.code == "os.locked")
            #expect(fault?.why.contains("forge-registry, process \(ThisProcess.pid)") == true)
            _ = consume lock
        }
        _ = try FileLock(scratch["lock"], holder: "another")
    }

    @Test func `the machine has cores, memory, free space and a boot id`() throws {
        #expect(Machine.cores >= 1)
        #expect(try Machine.memory().total > .mib(64))
        #expect(try Path.freeSpace("/tmp") > 0)
        #expect(ID(parsing: try BootID.current()) != nil)
        #expect(Clock.now() > Timestamp(seconds: 1_700_000_000))
        #expect(Clock.boottime > 0)
        #expect(try Accounts.named("root")?.uid == 0)
        #expect(try Accounts.uid(0)?.name == "root")
        #expect(try Accounts.named("nobody-of-that-name") == nil)
    }
}

func shell(_ script: String) throws {
    let child = try ChildProcess(.init("/bin/sh", ["-c", script], environment: ["PATH": "/usr/bin:/bin"]))
    while child.exit == nil { ThisThread.pause() }
    try #require(child.exit == .code(0))
}
