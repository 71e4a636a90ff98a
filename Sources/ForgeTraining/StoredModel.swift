package import ForgeArtifact
package import ForgeCore
package import ForgeModel
import ForgeTensor
package import ForgeTokenizer

/// A finished model that a run starts from or that is scored: its short files whole, its weights where they lie.
package struct StoredModel {
    package let config: MistralConfig
    package let tokenizer: Tokenizer
    /// The bytes of tokenizer.json, which a model made from this one has again.
    package let tokenizerFile: [UInt8]
    package let generation: GenerationRecord
    package let weights: TensorTable
    private let read: (Range<Int>) throws(Fault) -> [UInt8]

    /// - Parameters:
    ///   - count: bytes of a file; nil where it is not there.
    ///   - read: any bytes of a file.
    /// - Throws: `.request` naming the file that is missing or does not read.
    package init(count: (ModelFile) -> Int?, read: @escaping (ModelFile, Range<Int>) throws(Fault) -> [UInt8]) throws(Fault) {
        func counted(_ file: ModelFile) throws(Fault) -> Int {
            guard let count = count(file) else { throw Fault(.request, "model.files", "this is not a whole model", why: "`\(file.rawValue)` is missing") }
            return count
        }
        func whole(_ file: ModelFile) throws(Fault) -> [UInt8] { try read(file, 0..<counted(file)) }
        tokenizerFile = try whole(.tokenizer)
        tokenizer = try Tokenizer(parsing: tokenizerFile)
        generation = try GenerationRecord(parsing: try whole(.generation))
        let json: JSON
        do { json = try JSON.parse(try whole(.config)) } catch let fault as Fault { throw fault } catch {
            throw Fault(.request, "model.config", "cannot read `config.json`", why: "\(error)")
        }
        config = try MistralConfig(json: json)
        let bytes = try counted(.weights), name = ModelFile.weights.rawValue
        let header = try TensorTable.headerBytes(first: try read(.weights, 0..<min(8, bytes)), fileBytes: bytes, source: name)
        weights = try TensorTable(parsing: try read(.weights, 0..<min(header, bytes)), fileBytes: bytes, source: name)
        self.read = { (range) throws(Fault) in try read(.weights, range) }
    }

    package func bytes(_ range: Range<Int>) throws(Fault) -> [UInt8] { try read(range) }

    /// An entry of the model's table, row-major.
    /// - Throws: `.request` naming a tensor that is missing or does not fit.
    package func values(_ entry: ParameterTable.Entry) throws(Fault) -> [Float] {
        func fault(_ why: String) -> Fault { Fault(.request, "model.tensor", "the weights do not fit the configuration", why: why) }
        guard let found = weights[entry.home.name] else { throw fault("tensor `\(entry.home.name)` is missing") }
        guard found.shape == entry.home.shape else { throw fault("tensor `\(entry.home.name)` is \(found.shape), not \(entry.home.shape)") }
        guard DType.widening.contains(found.dtype) else { throw fault("tensor `\(entry.home.name)` is \(found.dtype.rawValue); F32 and BF16 are read") }
        return found.dtype.floats(try read(found.bytes(of: entry.count, from: entry.home.first)))
    }
}

extension Parameters {
    /// Takes the weights of a model; every tensor of the table must be there, and widens exactly.
    package func load(_ model: StoredModel) throws(Fault) {
        for entry in table.entries { tensor(entry).write(try model.values(entry)) }
    }
}
