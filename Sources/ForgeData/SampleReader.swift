package import ForgeCore

/// JSON Lines of samples, as a document (docs/formats/sample.md).
package enum SampleReader {
    static let lineLimit = 1 << 20
    static let linesMax = 1_000_000

    /// Each sample on a line of its own in its kept form, and what was found of people.
    /// - Parameter redacts: whether that is replaced by its kind.
    static func read(_ bytes: [UInt8], redacts: Bool) throws(Refusal) -> (text: [UInt8], personal: [PersonalData.Kind: Int]) {
        var out: [UInt8] = [], personal: [PersonalData.Kind: Int] = [:]
        out.reserveCapacity(bytes.count)
        try forEach(bytes) { sample in
            let kept = sample.map { words in
                let text = Array(words.utf8), found = PersonalData.find(in: text)
                for finding in found { personal[finding.kind, default: 0] += 1 }
                return redacts && !found.isEmpty ? String(decoding: PersonalData.redact(text, found), as: UTF8.self) : words
            }
            out += kept.json.text.utf8
            out.append(0x0a)
        }
        return (out, personal)
    }

    /// The samples of a document's text.
    package static func samples(_ text: [UInt8]) throws(Fault) -> [Sample] {
        var out: [Sample] = []
        do throws(Refusal) { try forEach(text) { out.append($0) } } catch {
            throw Fault(.environment, "samples.damaged", "the samples of a data set cannot be read", why: error.why, remedy: "add the documents again")
        }
        return out
    }

    private static func forEach(_ bytes: [UInt8], _ body: (Sample) -> Void) throws(Refusal) {
        var number = 0, form: Sample.Form?
        for line in bytes.split(separator: 0x0a, omittingEmptySubsequences: false) {
            number += 1
            func refuse(_ why: String) -> Refusal { Refusal(.malformed, "line \(number): \(why)") }
            guard line.contains(where: { $0 > 0x20 }) else { continue }
            guard number <= linesMax else { throw refuse("a file of samples has at most \(linesMax) lines") }
            guard line.count <= lineLimit else { throw refuse("it is longer than \(ByteCount(Int64(lineLimit)))") }
            let sample: Sample
            do {
                sample = try Sample(json: try JSON.parse(line, limits: .init(bytes: lineLimit, depth: 32)))
            } catch let error as Sample.Malformed { throw refuse(error.why) } catch { throw refuse("it is not JSON: \(error)") }
            guard form == nil || form == sample.form else { throw refuse("it is a sample of another form than those before it") }
            form = sample.form
            body(sample)
        }
        guard form != nil else { throw Refusal(.empty, "it holds no sample") }
    }

    /// Whether a file of this name is kept from training.
    static func isHeldOut(_ path: String) -> Bool {
        let name = path.utf8.split(separator: UInt8(ascii: "/")).last.map { asciiLowercased(String(decoding: Array($0), as: UTF8.self)) } ?? ""
        return name.split(separator: ".").dropLast().contains { ["valid", "validation", "dev", "test", "eval", "heldout"].contains($0) }
    }
}
