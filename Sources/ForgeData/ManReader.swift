/// Manual pages in roff to text: the man and mdoc macros and the escapes that pages use, line by line, as a reader and not as a formatter.
///
/// Conditions take the branch of a terminal. Macros a page defines are not run; strings it defines are inserted once, without reading them again.
/// Nothing recurses and nothing loops without taking a line, so time is linear; what strings can add is bounded.
struct ManReader {
    private var prose = Prose()
    private var lines: [ArraySlice<UInt8>]
    private var at = 0
    private var isFilled = true
    private var isFirstVerbatim = true
    private var strings: [String: [UInt8]] = ["R": Array("®".utf8), "Tm": Array("™".utf8), "lq": Array("“".utf8), "rq": Array("”".utf8)]
    private var isTagNext = false
    private var depth = 0
    private var name: [UInt8] = []
    private var section: [UInt8] = []
    private var inserted = 0
    private var isTable = false
    private var mdocLists: [String] = []
    /// Whether the last `.ie` did not hold.
    private var elseHolds = false

    /// What `\*` may add to a page in all.
    private static let insertedLimit = 1 << 20

    static func read(_ bytes: [UInt8]) throws(Refusal) -> [UInt8] {
        var reader = ManReader(bytes)
        return try reader.document()
    }

    private init(_ bytes: [UInt8]) {
        lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false).map { $0.last == 0x0d ? $0.dropLast() : $0 }
    }

    private mutating func document() throws(Refusal) -> [UInt8] {
        while at < lines.count {
            let line = lines[at]
            at += 1
            if let first = line.first, first == UInt8(ascii: ".") || first == UInt8(ascii: "'") {
                try request(line.dropFirst())
            } else if line.isEmpty {
                if isFilled { prose.endParagraph() } else { verbatim([]) }
            } else {
                textLine(line)
            }
        }
        return prose.finish()
    }

    // MARK: Lines

    private mutating func textLine(_ line: ArraySlice<UInt8>) {
        if isTable { return tableRow(line) }
        let text = unescape(line)
        if !isFilled { return verbatim(text) }
        if line.first == 0x20 || line.first == 0x09 { prose.breakLine() }
        prose.space()
        prose.append(text)
        prose.space()
        if isTagNext {
            isTagNext = false
            prose.breakLine()
        }
    }

    private mutating func verbatim(_ text: [UInt8]) {
        prose.verbatim([UInt8](repeating: 0x20, count: 4) + text, first: isFirstVerbatim)
        isFirstVerbatim = false
    }

    private mutating func setFilled(_ filled: Bool) {
        guard filled != isFilled else { return }
        if !filled { prose.endParagraph() }
        isFilled = filled
        isFirstVerbatim = true
    }

    private mutating func tableRow(_ line: ArraySlice<UInt8>) {
        if line.elementsEqual("_".utf8) || line.elementsEqual("=".utf8) { return }
        prose.startBlock("", tight: true)
        let cells = line.split(separator: 0x09).map { unescape($0) }.filter { !$0.isEmpty && $0 != Array("T{".utf8) && $0 != Array("T}".utf8) }
        for (i, cell) in cells.enumerated() {
            if i > 0 { prose.append(" | ") }
            prose.append(cell)
        }
        prose.breakLine()
    }

    // MARK: Requests

    private mutating func request(_ line: ArraySlice<UInt8>) throws(Refusal) {
        let body = line.drop { $0 == 0x20 || $0 == 0x09 }
        let macro = String(decoding: body.prefix { $0 != 0x20 && $0 != 0x09 && $0 != UInt8(ascii: "\\") }, as: UTF8.self)
        let rest = body.dropFirst(macro.utf8.count)
        if rest.starts(with: "\\\"".utf8) || body.starts(with: "\\\"".utf8) { return }
        switch macro {
        case "so": if prose.count == 0 { throw Refusal(.link, "the page only names another: `\(String(decoding: unescape(rest).prefix(80), as: UTF8.self))`") }
        case "de", "de1", "am", "ig", "dei": skipDefinition(rest, macro)
        case "ds", "ds1": defineString(rest)
        case "if": condition(rest, holds: ManReader.holds(rest))
        case "ie":
            elseHolds = !ManReader.holds(rest)
            condition(rest, holds: !elseHolds)
        case "el":
            if elseHolds { take(rest) } else { skipBranch(rest) }
            elseHolds = false
        case "while": skipBranch(rest)
        case "TS": startTable()
        case "TE":
            isTable = false
            prose.endParagraph()
        case "EQ", "PS", "G1": skipUntil(macro == "EQ" ? "EN" : macro == "PS" ? "PE" : "G2")
        default:
            let arguments = ManReader.split(rest)
            if !manMacro(macro, arguments, rest) { mdocMacro(macro, arguments) }
        }
    }

    /// - Returns: false if the macro is not one of man's.
    private mutating func manMacro(_ macro: String, _ arguments: [ArraySlice<UInt8>], _ rest: ArraySlice<UInt8>) -> Bool {
        switch macro {
        case "TH":
            let title = arguments.prefix(2).map { unescape($0) }
            prose.startBlock("# ")
            if let first = title.first { prose.append(first) }
            if title.count > 1 { prose.append(Array("(".utf8) + title[1] + Array(")".utf8)) }
            prose.endParagraph()
        case "SH", "Sh": heading("## ", arguments)
        case "SS", "Ss": heading("### ", arguments)
        case "PP", "P", "LP", "Pp", "HP", "sp", "bp", "Lp":
            if isFilled { prose.endParagraph() } else if macro == "sp" { verbatim([]) }
        case "TP":
            paragraphItem()
            isTagNext = true
        case "TQ":
            prose.breakLine()
            isTagNext = true
        case "IP":
            paragraphItem()
            if let tag = arguments.first, !tag.isEmpty {
                let text = unescape(tag)
                if text == Array("•".utf8) || text == Array("*".utf8) || text == Array("-".utf8) || text == Array("o".utf8) {
                    prose.startBlock("- ")
                } else {
                    prose.append(text)
                    prose.breakLine()
                }
            }
        case "RS": depth = min(depth + 1, 8)
        case "RE":
            depth = max(depth - 1, 0)
            if isFilled { prose.endParagraph() }
        case "B", "I", "SM", "SB", "R", "CW":
            // Without an argument the macro applies to the next line, which needs nothing done.
            if !arguments.isEmpty { textJoined(arguments, " ") }
        case "BR", "BI", "RB", "RI", "IB", "IR": textJoined(arguments, "")
        case "nf", "EX", "Vb": setFilled(false)
        case "fi", "EE", "Ve": setFilled(true)
        case "br", "in", "ti": if isFilled { prose.breakLine() }
        case "UR", "MT": if let target = arguments.first { textJoined([target], "") }
        case "UE", "ME": if let after = arguments.first {
                prose.joinNext()
                prose.append(unescape(after))
            }
        case "SY":
            prose.endParagraph()
            textJoined(Array(arguments.prefix(1)), "")
        case "YS": prose.endParagraph()
        case "OP":
            textRaw(Array("[".utf8) + arguments.map { unescape($0) }.joined(separator: Array(" ".utf8)) + Array("]".utf8))
        case "ad", "na", "nh", "hy", "ne", "ft", "ps", "ll", "nr", "tr", "PD", "DT", "UC", "AT", "hw", "rm", "rn", "ta", "pl", "cc", "c2", "ec", "eo", "fam", "lf", "nop", "ev", "as", "ss", "tm", "vs", "ns", "rs",
            "cs", "ce", "rj", "als", "IX", "mso", "warn", "do", "ul", "cu", "po", "lt", "pc", "it", "mk", "rt", "fp", "char", "em", "fl", "ab", "nx", "rd", "ex", "uf", "color", "fcolor", "gcolor", "kern", "special":
            if macro == "nop" { textRaw(unescape(rest.drop { $0 == 0x20 })) }
        default: return false
        }
        return true
    }

    private mutating func heading(_ mark: String, _ arguments: [ArraySlice<UInt8>]) {
        setFilled(true)
        depth = 0
        var title = Array(arguments.map { unescape($0) }.joined(separator: Array(" ".utf8)))
        // `.SH` alone takes its title from the next line.
        if title.isEmpty, at < lines.count, lines[at].first != UInt8(ascii: ".") {
            title = unescape(lines[at])
            at += 1
        }
        section = title
        prose.endParagraph()
        prose.startBlock(mark)
        prose.append(section)
        prose.endParagraph()
    }

    private mutating func paragraphItem() {
        setFilled(true)
        prose.endParagraph()
    }

    private mutating func textJoined(_ arguments: [ArraySlice<UInt8>], _ separator: String) {
        textRaw(Array(arguments.map { unescape($0) }.joined(separator: Array(separator.utf8))))
    }

    private mutating func textRaw(_ text: [UInt8]) {
        if !isFilled { return verbatim(text) }
        prose.space()
        prose.append(text)
        prose.space()
        if isTagNext {
            isTagNext = false
            prose.breakLine()
        }
    }

    // MARK: mdoc

    private static let enclosures: [String: (String, String)] = [
        "Dq": ("“", "”"), "Sq": ("‘", "’"), "Qq": ("\"", "\""), "Pq": ("(", ")"), "Bq": ("[", "]"), "Brq": ("{", "}"), "Aq": ("<", ">"), "Ql": ("‘", "’"), "Op": ("[", "]"), "Oo": ("[", ""), "Po": ("(", ""),
        "Bo": ("[", ""), "Do": ("“", ""), "So": ("‘", ""), "Qo": ("\"", ""), "Ao": ("<", ""), "Bro": ("{", ""),
    ]
    private static let closings: [String: String] = ["Oc": "]", "Pc": ")", "Bc": "]", "Dc": "”", "Sc": "’", "Qc": "\"", "Ac": ">", "Brc": "}"]
    private static let silent: Set<String> = ["Dd", "Os", "Sm", "Bk", "Ek", "Ud", "Fd_", "Db", "Hf", "Tg", "Rs", "Re", "An_split"]
    private static let words: [String: String] = ["Ux": "UNIX", "Bx": "BSD", "Nx": "NetBSD", "Fx": "FreeBSD", "Ox": "OpenBSD", "Bsx": "BSD/OS", "Dx": "DragonFly", "At": "AT&T UNIX", "Bt": "is currently in beta test."]
    private static let inline: Set<String> = [
        "Nm", "Nd", "Fl", "Ar", "Cm", "Ic", "Pa", "Ev", "Va", "Vt", "Dv", "Er", "Fn", "Fa", "Ft", "Em", "Sy", "Li", "Xr", "Lk", "Mt", "An", "No", "Ns", "Ap", "St", "Tn", "Sx", "Ad", "Cd", "In", "Lb", "Ms", "Fo", "Fc", "Fd",
        "D1", "Dl", "Ta", "Bf", "Ef", "Pf", "Rv", "Ex", "%A", "%B", "%J", "%T", "%D", "%N", "%O", "%P", "%Q", "%R", "%U", "%V", "%I", "%C",
    ]

    private mutating func mdocMacro(_ macro: String, _ arguments: [ArraySlice<UInt8>]) {
        switch macro {
        case "Dt":
            prose.startBlock("# ")
            let title = arguments.map { unescape($0) }
            if let first = title.first { prose.append(first) }
            if title.count > 1 { prose.append(Array("(".utf8) + title[1] + Array(")".utf8)) }
            prose.endParagraph()
        case "Bl":
            prose.endParagraph()
            if mdocLists.count < 32 { mdocLists.append(arguments.first.map { String(decoding: $0, as: UTF8.self) } ?? "") }
        case "El":
            _ = mdocLists.popLast()
            prose.endParagraph()
        case "It":
            setFilled(true)
            let kind = mdocLists.last ?? ""
            if kind == "-bullet" || kind == "-dash" || kind == "-enum" || kind == "-item" || kind == "-hyphen" {
                prose.startBlock("- ", tight: true)
            } else if kind == "-column" {
                prose.breakLine()
                prose.startBlock("", tight: true)
                textRaw(mdocText(arguments))
            } else {
                prose.endParagraph()
                textRaw(mdocText(arguments))
                prose.breakLine()
            }
        case "Bd":
            if arguments.contains(where: { $0.elementsEqual("-literal".utf8) || $0.elementsEqual("-unfilled".utf8) }) { setFilled(false) } else { prose.endParagraph() }
        case "Ed":
            setFilled(true)
            prose.endParagraph()
        case "D1", "Dl":
            prose.endParagraph()
            prose.verbatim(Array("    ".utf8) + mdocText(arguments), first: true)
        case "Nm" where name.isEmpty && !arguments.isEmpty:
            name = unescape(arguments[0])
            textRaw(mdocText([Array("Nm".utf8)[...]] + arguments))
        case "Nd":
            prose.append(" – ")
            textRaw(mdocText(arguments))
        case _ where ManReader.silent.contains(macro): break
        case _ where ManReader.inline.contains(macro) || ManReader.enclosures[macro] != nil || ManReader.closings[macro] != nil || ManReader.words[macro] != nil:
            textRaw(mdocText([Array(macro.utf8)[...]] + arguments))
        default: break
        }
    }

    /// A line of mdoc: macros inside it are called, delimiters stick to what stands before them.
    private mutating func mdocText(_ arguments: [ArraySlice<UInt8>]) -> [UInt8] {
        var out: [UInt8] = []
        var closing: [[UInt8]] = []
        var glue = true
        var flag = false
        func isDelimiter(_ text: [UInt8]) -> Bool { text.count == 1 && [0x2e, 0x2c, 0x3b, 0x3a, 0x3f, 0x21, 0x29, 0x5d].contains(text[0]) }
        func add(_ text: [UInt8], _ out: inout [UInt8], _ glue: inout Bool) {
            if !glue, !isDelimiter(text), !out.isEmpty { out.append(0x20) }
            out += text
            glue = text == [0x28] || text == [0x5b]
        }
        for (i, argument) in arguments.enumerated() {
            let word = String(decoding: argument, as: UTF8.self)
            let isCallable = i == 0 || word.utf8.count <= 3
            if isCallable, let (open, close) = ManReader.enclosures[word] {
                add(Array(open.utf8), &out, &glue)
                glue = true
                closing.append(Array(close.utf8))
            } else if isCallable, let close = ManReader.closings[word] {
                out += close.utf8
                glue = false
            } else if isCallable, let text = ManReader.words[word] {
                add(Array(text.utf8), &out, &glue)
            } else if isCallable, ManReader.inline.contains(word) {
                flag = word == "Fl"
                switch word {
                case "Ns", "Pf": glue = true
                case "Ap":
                    out += "'".utf8
                    glue = true
                case "Ta": add([0x7c], &out, &glue)
                case "Nm" where i + 1 >= arguments.count: add(name, &out, &glue)
                case "Fl" where i + 1 >= arguments.count: add([0x2d], &out, &glue)
                case "In":
                    add(Array("#include".utf8), &out, &glue)
                default: break
                }
                if word == "Xr", i + 2 < arguments.count, arguments[i + 2].first.map({ (0x30...0x39).contains($0) }) == true { continue }
            } else {
                var text = unescape(argument)
                if flag, !isDelimiter(text), text.first != UInt8(ascii: "|") { text = [0x2d] + text }
                if i >= 2, String(decoding: arguments[i - 2], as: UTF8.self) == "Xr", text.first.map({ (0x30...0x39).contains($0) }) == true {
                    out += "(".utf8 + text + ")".utf8
                } else {
                    add(text, &out, &glue)
                }
            }
        }
        for close in closing.reversed() {
            // A final delimiter stands after what encloses.
            if let last = out.last, out.count > 1, isDelimiter([last]), last != 0x29, last != 0x5d, arguments.last.map({ unescape($0) }) == [last] {
                out.removeLast()
                out += close + [last]
            } else {
                out += close
            }
        }
        return out
    }

    // MARK: Conditions and definitions

    /// Whether a condition holds on a terminal of groff's: `n`, `!t` and the register `.g`; all else does not.
    private static func holds(_ rest: ArraySlice<UInt8>) -> Bool {
        let body = rest.drop { $0 == 0x20 || $0 == 0x09 }
        return body.first == UInt8(ascii: "n") || body.starts(with: "!t".utf8) || body.starts(with: "\\n(.g".utf8) || body.starts(with: "\\n[.g]".utf8)
    }

    private mutating func condition(_ rest: ArraySlice<UInt8>, holds: Bool) {
        guard holds else { return skipBranch(rest) }
        let body = rest.drop { $0 == 0x20 || $0 == 0x09 }
        take(body.dropFirst(body.first == UInt8(ascii: "!") ? 2 : body.first == UInt8(ascii: "n") ? 1 : 5))
    }

    /// A branch is put back as a line of its own, shorter than the one it came from; its closing brace is an escape that prints nothing.
    private mutating func take(_ rest: ArraySlice<UInt8>) {
        var body = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: "]") }
        if body.starts(with: "\\{".utf8) { body = body.dropFirst(2).drop { $0 == 0x20 || $0 == UInt8(ascii: "\\") } }
        guard !body.isEmpty else { return }
        at -= 1
        lines[at] = body
    }

    /// Leaves out one line, or a block to its closing brace.
    private mutating func skipBranch(_ rest: ArraySlice<UInt8>) {
        var open = ManReader.braces(rest)
        while open > 0, at < lines.count {
            open += ManReader.braces(lines[at])
            at += 1
        }
    }

    private static func braces(_ line: ArraySlice<UInt8>) -> Int {
        var open = 0
        var last: UInt8 = 0
        for byte in line {
            if last == UInt8(ascii: "\\") {
                if byte == UInt8(ascii: "{") { open += 1 }
                if byte == UInt8(ascii: "}") { open -= 1 }
                last = 0
            } else {
                last = byte
            }
        }
        return open
    }

    private mutating func skipDefinition(_ rest: ArraySlice<UInt8>, _ macro: String) {
        let arguments = ManReader.split(rest)
        let end = arguments.count > (macro == "ig" ? 0 : 1) ? String(decoding: arguments[macro == "ig" ? 0 : 1], as: UTF8.self) : "."
        skipUntil(end)
    }

    private mutating func skipUntil(_ macro: String) {
        while at < lines.count {
            let line = lines[at]
            at += 1
            if line.first == UInt8(ascii: "."), line.dropFirst().drop(while: { $0 == 0x20 }).prefix(while: { $0 != 0x20 }).elementsEqual(macro.utf8) { return }
        }
    }

    private mutating func defineString(_ rest: ArraySlice<UInt8>) {
        let body = rest.drop { $0 == 0x20 || $0 == 0x09 }
        let key = body.prefix { $0 != 0x20 && $0 != 0x09 }
        var value = body.dropFirst(key.count).drop { $0 == 0x20 || $0 == 0x09 }
        if value.first == UInt8(ascii: "\"") { value.removeFirst() }
        guard strings.count < 256, key.count <= 32, value.count <= 256 else { return }
        strings[String(decoding: key, as: UTF8.self)] = unescape(value)
    }

    private mutating func startTable() {
        prose.endParagraph()
        isTable = true
        // The format ends with the line that ends in a full stop; an options line before it ends in a semicolon.
        var looked = 0
        while at < lines.count, looked < 20 {
            let line = lines[at]
            if line.starts(with: ".TE".utf8) { return }
            at += 1
            looked += 1
            if line.last == UInt8(ascii: ".") { return }
        }
    }

    /// Arguments of a request: separated by blanks, joined by double quotes.
    private static func split(_ rest: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        var out: [ArraySlice<UInt8>] = []
        var i = rest.startIndex
        while i < rest.endIndex, out.count < 256 {
            if rest[i] == 0x20 || rest[i] == 0x09 {
                i += 1
                continue
            }
            // A comment ends the line.
            if rest[i...].starts(with: "\\\"".utf8) { break }
            if rest[i] == UInt8(ascii: "\"") {
                var word: [UInt8] = []
                i += 1
                while i < rest.endIndex {
                    if rest[i] == UInt8(ascii: "\"") {
                        guard i + 1 < rest.endIndex, rest[i + 1] == UInt8(ascii: "\"") else { break }
                        i += 1
                    }
                    word.append(rest[i])
                    i += 1
                }
                i += 1
                out.append(word[...])
            } else {
                let start = i
                while i < rest.endIndex, rest[i] != 0x20, rest[i] != 0x09 {
                    // An escaped blank belongs to the word.
                    if rest[i] == UInt8(ascii: "\\"), i + 1 < rest.endIndex { i += 1 }
                    i += 1
                }
                out.append(rest[start..<min(i, rest.endIndex)])
            }
        }
        return out
    }

    // MARK: Escapes

    private static let glyphs: [String: String] = [
        "em": "—", "en": "–", "hy": "-", "bu": "•", "co": "©", "rg": "®", "tm": "™", "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "aq": "'", "dq": "\"", "ga": "`", "ha": "^", "ti": "~", "rs": "\\", "sl": "/", "ba": "|",
        "br": "|", "bv": "|", "mu": "×", "di": "÷", "pl": "+", "mi": "−", "->": "→", "<-": "←", "ua": "↑", "da": "↓", "<=": "≤", ">=": "≥", "!=": "≠", "==": "≡", "~~": "≈", "+-": "±", "de": "°", "sc": "§", "ps": "¶",
        "ss": "ß", "fm": "′", "sd": "″", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "la": "⟨", "ra": "⟩", "at": "@", "sh": "#", "Do": "$", "ct": "¢", "Po": "£", "Ye": "¥", "Eu": "€", "eu": "€", "12": "½", "14": "¼", "34": "¾",
        "S1": "¹", "S2": "²", "S3": "³", "pc": "·", "md": "⋅", "Fc": "»", "Fo": "«", "dd": "‡", "dg": "†", "*a": "α", "*b": "β", "*g": "γ", "*d": "δ", "*e": "ε", "*l": "λ", "*m": "μ", "*p": "π", "*s": "σ", "*w": "ω",
        "'e": "é", "'a": "á", "'i": "í", "'o": "ó", "'u": "ú", "`e": "è", "`a": "à", "`o": "ò", "`u": "ù", ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä", ":O": "Ö", ":U": "Ü", "^e": "ê", "^a": "â", "^o": "ô", "^i": "î", "^u": "û", ",c": "ç",
        "~n": "ñ", "oa": "å", "/o": "ø", "ae": "æ", "OE": "Œ", "oe": "œ", "o\"": "ő", "ul": "_", "or": "|", "if": "∞", "sq": "□", "OK": "✓", "lh": "☜", "rh": "☞", "Om": "ª", "Of": "ª", "r!": "¡", "r?": "¿", "eq": "=", "no": "¬", "tno": "¬",
        "/_": "∠", "AN": "∧", "OR": "∨", "su": "∑", "sr": "√", "in": "∈", "ci": "○", "cD": "đ", "Fi": "ffi", "fi": "fi", "fl": "fl", "ff": "ff", "lf": "⌊", "rf": "⌋", "lc": "⌈", "rc": "⌉", "tf": "∴",
    ]

    private mutating func unescape(_ line: ArraySlice<UInt8>) -> [UInt8] {
        guard line.contains(UInt8(ascii: "\\")) else { return Array(line) }
        var out: [UInt8] = []
        var i = line.startIndex
        while i < line.endIndex {
            guard line[i] == UInt8(ascii: "\\") else {
                out.append(line[i])
                i += 1
                continue
            }
            i += 1
            guard i < line.endIndex else { break }
            let kind = line[i]
            i += 1
            switch kind {
            case UInt8(ascii: "\""), UInt8(ascii: "#"): return out
            case UInt8(ascii: "-"): out.append(0x2d)
            case UInt8(ascii: "e"), UInt8(ascii: "\\"): out.append(0x5c)
            case UInt8(ascii: "."), UInt8(ascii: "'"), UInt8(ascii: "`"): out.append(kind)
            case UInt8(ascii: " "), UInt8(ascii: "~"), UInt8(ascii: "0"): out.append(0x20)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "("):
                glyph(String(decoding: line[i...].prefix(2), as: UTF8.self), &out)
                i = min(i + 2, line.endIndex)
            case UInt8(ascii: "["):
                let end = line[i...].prefix(64).firstIndex(of: UInt8(ascii: "]")) ?? line.endIndex
                glyph(String(decoding: line[i..<end], as: UTF8.self), &out)
                i = min(end + 1, line.endIndex)
            case UInt8(ascii: "*"): i = insertString(line, i, &out)
            case UInt8(ascii: "f"), UInt8(ascii: "F"), UInt8(ascii: "m"), UInt8(ascii: "M"), UInt8(ascii: "n"), UInt8(ascii: "g"), UInt8(ascii: "k"), UInt8(ascii: "Y"), UInt8(ascii: "V"):
                i = ManReader.nameEnd(line, i)
            case UInt8(ascii: "s"):
                if i < line.endIndex, line[i] == UInt8(ascii: "+") || line[i] == UInt8(ascii: "-") { i += 1 }
                if i < line.endIndex, line[i] == UInt8(ascii: "'") { i = ManReader.quotedEnd(line, i) } else { i = ManReader.nameEnd(line, i) }
            case UInt8(ascii: "h"), UInt8(ascii: "v"), UInt8(ascii: "w"), UInt8(ascii: "l"), UInt8(ascii: "L"), UInt8(ascii: "D"), UInt8(ascii: "b"), UInt8(ascii: "x"), UInt8(ascii: "X"), UInt8(ascii: "o"),
                UInt8(ascii: "S"), UInt8(ascii: "H"), UInt8(ascii: "N"), UInt8(ascii: "Z"), UInt8(ascii: "A"), UInt8(ascii: "B"), UInt8(ascii: "R"), UInt8(ascii: "C"):
                i = ManReader.quotedEnd(line, i)
                if kind == UInt8(ascii: "h") { out.append(0x20) }
            // `\&`, `\|`, `\^`, `\/`, `\,`, `\:`, `\%`, `\c`, `\z`, `\d`, `\u`, `\p`, `\{`, `\}` and what is unknown print nothing.
            default: if kind >= 0x80 { out.append(kind) }
            }
        }
        return out
    }

    private func glyph(_ name: String, _ out: inout [UInt8]) {
        if let text = ManReader.glyphs[name] {
            out += text.utf8
        } else if name.utf8.first == UInt8(ascii: "u"), name.utf8.count >= 5, let value = UInt32(name.dropFirst().prefix { $0 != "_" }, radix: 16), let scalar = Unicode.Scalar(value) {
            out += String(Character(scalar)).utf8
        } else if name.hasPrefix("char"), let value = UInt32(name.dropFirst(4)), let scalar = Unicode.Scalar(value), value >= 0x20 {
            out += String(Character(scalar)).utf8
        } else if name.unicodeScalars.count == 1 {
            out += name.utf8
        }
    }

    private mutating func insertString(_ line: ArraySlice<UInt8>, _ start: Int, _ out: inout [UInt8]) -> Int {
        let end = ManReader.nameEnd(line, start)
        let name = String(decoding: line[start..<end].filter { ![UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "]")].contains($0) }, as: UTF8.self)
        if let value = strings[name], inserted + value.count <= ManReader.insertedLimit {
            inserted += value.count
            out += value
        }
        return end
    }

    /// Past a name written as `x`, `(xx` or `[long]`.
    private static func nameEnd(_ line: ArraySlice<UInt8>, _ start: Int) -> Int {
        guard start < line.endIndex else { return line.endIndex }
        switch line[start] {
        case UInt8(ascii: "("): return min(start + 3, line.endIndex)
        case UInt8(ascii: "["): return line[start...].prefix(64).firstIndex(of: UInt8(ascii: "]")).map { $0 + 1 } ?? line.endIndex
        default: return start + 1
        }
    }

    private static func quotedEnd(_ line: ArraySlice<UInt8>, _ start: Int) -> Int {
        guard start < line.endIndex else { return line.endIndex }
        return line[(start + 1)...].prefix(256).firstIndex(of: line[start]).map { $0 + 1 } ?? line.endIndex
    }
}
