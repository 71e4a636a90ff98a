import ForgeCore
import ForgeCrypto
import Testing

@testable import ForgeData

@Suite struct ReaderTests {
    private func read(_ name: String, _ text: String) throws -> String {
        String(decoding: try DocumentReader().read(path: name, bytes: Array(text.utf8)).text, as: UTF8.self)
    }

    private func refusal(_ name: String, _ bytes: [UInt8]) -> Refusal.Reason? {
        do {
            _ = try DocumentReader().read(path: name, bytes: bytes)
            return nil
        } catch { return error.reason }
    }

    // MARK: Plain text

    @Test func `plain text keeps its lines and loses what printers needed`() throws {
        #expect(try read("a.txt", "\u{feff}\r\n\n  one  \r\ntwo\r\n\n\n\nN\u{8}NA\u{8}A\u{1b}[1mM\u{1b}[0m_\u{8}é\u{c}x") == "  one\ntwo\n\nNAMé\nx\n")
    }

    // MARK: Markdown

    @Test func `Markdown becomes paragraphs, headings, items and code`() throws {
        let source = """
            ---
            title: no
            ---
            Title
            =====
            A *soft*
            break, a [link](http://x/y_(z)) and ![alt](i.png) `co*de`. <b>Bold</b> &amp; snake_case 2*3.
            <!-- gone
            gone --> kept

            - one
            - two
              more
            1. first

            ```swift
            let x = 1   // kept *as* is

            ```
            > quoted
            > text

            | a | b |
            |---|:--|
            | 1 | 2 |

            [ref]: http://x
            ## End ##
            """
        let expected = """
            # Title

            A soft break, a link and alt co*de. Bold & snake_case 23. kept

            - one
            - two more
            1. first

            let x = 1   // kept *as* is

            quoted text

            a | b
            1 | 2

            ## End

            """
        let text = try read("README.md", source)
        #expect(text == expected)
    }

    // MARK: HTML

    @Test func `HTML becomes the same kind of text`() throws {
        let source = """
            <!DOCTYPE html><html><head><title>A &lt;b&gt;</title><style>p{}</style><script>if (a < b) "</p>"</script></head>
            <body><nav><a>Home</a></nav><!-- no --><h2>Over&nbsp;view</h2><p class="a>b">One <b>two</b><br>three &eacute;&#233;&#xe9; a < b &bogus; 5&6</p>
            <ul><li>a<li>b<ul><li>c</ul></ul><ol><li>x</li><li><p>y</p></li></ol>
            <table><tr><th>k</th><th>v</th></tr><tr><td><p>1</p></td><td>2</td></tr></table>
            <pre>
            line  1
              line 2</pre><p>unclosed <i>end
            """
        let expected = """
            # A <b>

            ## Over view

            One two
            three ééé a < b &bogus; 5&6

            - a
            - b
              - c

            1. x
            2. y

            k | v
            1 | 2

            line  1
              line 2

            unclosed end

            """
        let text = try read("page.html", source)
        #expect(text == expected)
    }

    // MARK: Manual pages

    @Test func `a man page is read`() throws {
        let source = #"""
            .\" comment
            .TH LS 1 "2024" "GNU"
            .de Foo
            never
            ..
            .SH NAME
            ls \- list \fIdirectory\fP contents
            .SH SYNOPSIS
            .B ls
            [\fI\,OPTION\/\fR]...
            .BR ls (1),
            .PP
            .ie t never
            .el Always.
            .if n \{\
            In a terminal.
            .\}
            .if t \{\
            In print.
            .\}
            .TP
            \fB\-a\fR, \fB\-\-all\fR
            do not ignore \(lq.\(rq and \[u00E9]
            .IP \(bu 2
            item
            .nf
            code  \\ here
              more
            .fi
            .TS
            l l.
            a	b
            .TE
            """#
        let expected = """
            # LS(1)

            ## NAME

            ls - list directory contents

            ## SYNOPSIS

            ls [OPTION]... ls(1),

            Always. In a terminal.

            -a, --all
            do not ignore “.” and é

            - item

                code  \\ here
                  more

            a | b

            """
        let text = try read("ls.1", source)
        #expect(text == expected)
    }

    @Test func `an mdoc page is read`() throws {
        let source = #"""
            .Dd January 1, 2024
            .Dt CAT 1
            .Os
            .Sh NAME
            .Nm cat
            .Nd concatenate files
            .Sh SYNOPSIS
            .Nm
            .Op Fl belnstuv
            .Op Ar
            .Sh DESCRIPTION
            The
            .Nm
            utility reads files
            .Pq see Xr sh 1 .
            .Bl -tag -width Ds
            .It Fl b
            Number the non-blank lines,
            starting at 1.
            .El
            .Bl -bullet
            .It
            one
            .El
            """#
        let expected = """
            # CAT(1)

            ## NAME

            cat – concatenate files

            ## SYNOPSIS

            cat [-belnstuv] []

            ## DESCRIPTION

            The cat utility reads files (see sh(1)).

            -b
            Number the non-blank lines, starting at 1.

            - one

            """
        let text = try read("cat.1", source)
        #expect(text == expected)
    }

    @Test func `a page that only names another is refused as a link`() { #expect(refusal("vi.1", Array(".so man1/vim.1\n".utf8)) == .link) }

    // MARK: Refusals

    @Test(arguments: [
        ("a.pdf", Array("%PDF-1.7 x".utf8), Refusal.Reason.notYet), ("noname", [0x50, 0x4b, 3, 4, 0, 0], .notYet), ("a.docx", Array("text".utf8), .notYet), ("a.txt", [], .empty), ("a.txt", Array("  \n".utf8), .empty),
        ("a.txt", [0xff, 0xfe, 0x41, 0], .encoding), ("a.txt", Array("x".utf8) + [0], .binary), ("a.txt", Array("d\u{e9}j\u{e0} vu".unicodeScalars.map { UInt8($0.value) }), .encoding),
        ("a.txt", [0xe2, 0x82], .encoding), ("a.txt", (0..<64).flatMap { [UInt8(0x41 + $0 % 26), 0] }, .encoding), ("../a.txt", [0x41], .path), ("/a", [0x41], .path), ("a//b", [0x41], .path),
        ("", [0x41], .path), ("a\nb", [0x41], .path), ("a.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9], .malformed), ("x.txt", [UInt8](repeating: 7, count: 50), .binary),
    ] as [(String, [UInt8], Refusal.Reason)])
    func `what is no document is refused with its reason`(name: String, bytes: [UInt8], reason: Refusal.Reason) { #expect(refusal(name, bytes) == reason) }

    /// gzip -n of `hello hello hello hello\n`, and of a stored and a dynamic block, made with Python's zlib.
    @Test func `gzip is inflated, checked and bounded`() throws {
        let fixed = Hex.decode("1f8b0800000000000003cb48cdc9c957c84027b9000088590b18000000") ?? []
        #expect(try Gunzip.inflate(fixed, limit: 24) == Array("hello hello hello hello\n".utf8))
        #expect(throws: Refusal.self) { try Gunzip.inflate(fixed, limit: 23) }
        let dynamic = Hex.decode(
            "1f8b08000000000000036d505b0e80200cbb8a57dbe2a2264349f48bd3ab349132fc8151fa02b54b26cbe7e6c7feedfa828ba4d4ae66f3072bcc16cf6b3c81d64bab5b5daa1c9418099452824a39996888a551c78aa8c373df816ad1f8f36240f43bf0a4e081d10c6fe0f8e69b6a010000") ?? []
        let words = try Gunzip.inflate(dynamic, limit: 1000)
        #expect(Gunzip.crc32(words) == 0x9be6f8e0 && words.starts(with: "beta epsilon epsilon".utf8))
        for i in dynamic.indices.dropFirst(10) {
            var flipped = dynamic
            flipped[i] ^= 0x04
            #expect(throws: Refusal.self) { try Gunzip.inflate(flipped, limit: 1000) }
        }
        let stored: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 3, 0, 0xfc, 0xff] + Array("abc".utf8) + [0xc2, 0x41, 0x24, 0x35, 3, 0, 0, 0]
        #expect(try Gunzip.inflate(stored, limit: 100) == Array("abc".utf8))
        #expect(throws: Refusal.self) { try Gunzip.inflate(stored, limit: 2) }
        for i in 11..<stored.count {
            var flipped = stored
            flipped[i] ^= 0x10
            #expect(throws: Refusal.self) { try Gunzip.inflate(flipped, limit: 100) }
        }
        for count in 0..<stored.count { #expect(throws: Refusal.self) { try Gunzip.inflate(Array(stored[..<count]), limit: 100) } }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `no bytes make a reader trap or write broken text`(seed: UInt64) {
        var random = SplitMix64(state: seed)
        let pieces = [
            "<", ">", "</", "<!--", "-->", "<p", " a=\"", "&", "&#", "&#x110000;", "<pre>", "</pre>", "<script>", "<li>", "<td>", "\\", "\\*", "\\f", "\\(", "\\[", ".", ".if n ", ".ie t \\{", ".el ", "\\}", ".ds x ", "\\*x", ".TS\n", ".TE\n", ".de x",
            ".\n", "'", "```", "|", "[", "](", "*", "_", "#", "---\n", "\n", " ", "é", "東", "a", "1", ".It Fl ", ".Bl -bullet\n", ".El\n", ".Op Xr a 1 .\n", "@", ".com", "+49", "FR76", "\t", "\u{8}", "\u{1b}[",
        ].map { Array($0.utf8) }
        var bytes: [UInt8] = []
        for _ in 0..<Int(random.below(400)) { bytes += pieces[Int(random.below(UInt64(pieces.count)))] }
        for name in ["a.txt", "a.md", "a.html", "a.1"] {
            let head = name == "a.1" ? Array(".TH X 1\n".utf8) : []
            if let document = try? DocumentReader(.init(redacts: seed.isMultiple(of: 2))).read(path: name, bytes: head + bytes) {
                #expect(TextEncoding.firstIllFormed(document.text) == nil)
                #expect(document.text.last == 0x0a)
            }
        }
        let noise = (0..<Int(random.below(300))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        for head in [[], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]] as [[UInt8]] { _ = try? DocumentReader().read(path: "x", bytes: head + noise) }
    }
}

@Suite struct PersonalDataTests {
    @Test(arguments: [
        ("write to Jane.Doe+x@mail.example.org.", PersonalData.Kind.email, "Jane.Doe+x@mail.example.org"), ("call +49 30 1234567 now", .phone, "+49 30 1234567"), ("(212) 555-0123", .phone, "(212) 555-0123"),
        ("tel 01 42 68 53 00.", .phone, "01 42 68 53 00"), ("IBAN DE89 3704 0044 0532 0130 00 ok", .iban, "DE89 3704 0044 0532 0130 00"), ("GB82WEST12345698765432,", .iban, "GB82WEST12345698765432"),
        ("card 4111 1111 1111 1111!", .card, "4111 1111 1111 1111"), ("3782-822463-10005", .card, "3782-822463-10005"), ("host 192.168.10.254:80", .ipv4, "192.168.10.254"), ("ssn 078-05-1120", .nationalID, "078-05-1120"),
        ("nir 2 69 05 49 588 157 80", .nationalID, "2 69 05 49 588 157 80"), ("dni 12345678Z.", .nationalID, "12345678Z"), ("nie X1234567L", .nationalID, "X1234567L"), ("cf RSSMRA85T10A562S", .nationalID, "RSSMRA85T10A562S"),
        ("rrn 85.07.30-033.28", .nationalID, "85.07.30-033.28"),
    ] as [(String, PersonalData.Kind, String)])
    func `a form is found where it stands`(text: String, kind: PersonalData.Kind, match: String) {
        let bytes = Array(text.utf8)
        let found = PersonalData.find(in: bytes)
        #expect(found.map(\.kind) == [kind])
        #expect(found.first.map { String(decoding: bytes[$0.range], as: UTF8.self) } == match)
        let redacted = String(decoding: PersonalData.redact(bytes, found), as: UTF8.self)
        #expect(redacted.contains("[\(kind.rawValue)]"))
        #expect(PersonalData.find(in: Array(redacted.utf8)) == [])
    }

    @Test(arguments: [
        "version 1.2.3.4.5", "a@b", "foo@", "@bar.com is a handle", "4111 1111 1111 1112", "DE88 3704 0044 0532 0130 00", "999.1.1.1", "000-12-3456", "12345678A", "page 2024-11-21", "0x4111111111111111f", "RFC 6962 and RFC 9162",
        "1.5e10", "user@localhost", "section 10.1.2.3.4", "3.14159265358979",
    ])
    func `what only looks alike is left alone`(text: String) { #expect(PersonalData.find(in: Array(text.utf8)) == []) }
}
