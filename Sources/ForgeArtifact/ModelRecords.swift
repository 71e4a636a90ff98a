package import ForgeCore

/// `datasets.json`: the data a model was trained on, by digest (docs/formats/model.md).
package struct DatasetsRecord: Sendable, Hashable {
    package struct Item: Sendable, Hashable {
        package let name: String
        package let digest: Digest
        /// Documents and bytes of text in the training part.
        package let documents: Int
        package let bytes: Int64
        package init(name: String, digest: Digest, documents: Int, bytes: Int64) {
            self.name = name
            self.digest = digest
            self.documents = documents
            self.bytes = bytes
        }
    }

    package let items: [Item]

    package init(_ items: [Item]) { self.items = items.sorted { $0.digest < $1.digest } }

    package var encoded: [UInt8] {
        let list = items.map { item -> JSON in
            ["name": .string(item.name), "digest": .string(item.digest.description), "documents": .int(Int64(item.documents)), "bytes": .int(item.bytes)]
        }
        return JSON.object(["datasets": .array(list)]).canonical
    }

    package init(parsing bytes: [UInt8]) throws(Fault) {
        let fault = Fault(.request, "model.datasets", "cannot read `datasets.json`", why: "it is not the list of data sets it should be")
        guard let json = try? JSON.parse(bytes), let list = json["datasets"]?.array else { throw fault }
        var items: [Item] = []
        for item in list {
            guard let name = item["name"]?.string, let digest = item["digest"]?.string.flatMap({ Digest(parsing: $0) }), let documents = item["documents"]?.int,
                let bytes = item["bytes"]?.int, let documents = Int(exactly: documents)
            else { throw fault }
            items.append(Item(name: name, digest: digest, documents: documents, bytes: bytes))
        }
        self.init(items)
        guard encoded == bytes else { throw fault }
    }
}

/// `code.json`: what computed the weights. Another version or another kernel path is another computation.
package struct CodeRecord: Sendable, Hashable {
    package let forge: String
    package let kernelPath: String

    package init(forge: String = ForgeVersion.current, kernelPath: String) {
        self.forge = forge
        self.kernelPath = kernelPath
    }

    package var encoded: [UInt8] { JSON.object(["forge": .string(forge), "kernelPath": .string(kernelPath)]).canonical }

    package init(parsing bytes: [UInt8]) throws(Fault) {
        guard let json = try? JSON.parse(bytes), let forge = json["forge"]?.string, let path = json["kernelPath"]?.string else {
            throw Fault(.request, "model.code", "cannot read `code.json`", why: "it does not name a version and a kernel path")
        }
        self.init(forge: forge, kernelPath: path)
    }
}

/// `generation.json`: how text is made with the model.
package struct GenerationRecord: Sendable, Hashable {
    /// The chat template's name, such as `mistral-v3`; nil for a model that only continues text.
    package let chatTemplate: String?
    /// The text of a template that came with the model, where the name is `jinja`.
    package let template: String?
    package let contextLength: Int
    package let endOfText: Int
    /// What operands of matrix products were rounded to while it was trained: `f32` or `bf16`. Computed in it, answers are those of the training pass.
    package let precision: String

    package init(chatTemplate: String?, template: String? = nil, contextLength: Int, endOfText: Int, precision: String) {
        self.chatTemplate = chatTemplate
        self.template = template
        self.contextLength = contextLength
        self.endOfText = endOfText
        self.precision = precision
    }

    package var encoded: [UInt8] {
        var members: JSON.Object = [
            "chatTemplate": chatTemplate.map { .string($0) } ?? .null, "contextLength": .int(Int64(contextLength)), "endOfText": .int(Int64(endOfText)),
            "precision": .string(precision),
        ]
        if let template { members["template"] = .string(template) }
        return JSON.object(members).canonical
    }

    package init(parsing bytes: [UInt8]) throws(Fault) {
        guard let json = try? JSON.parse(bytes), let length = json["contextLength"]?.int, (1...(1 << 30)).contains(length), let end = json["endOfText"]?.int,
            (0...(1 << 30)).contains(end), let template = json["chatTemplate"], template == .null || template.string != nil,
            let precision = json["precision"]?.string, ["f32", "bf16"].contains(precision), (json["template"] != nil) == (template.string == "jinja"),
            json["template"].map({ $0.string != nil }) ?? true
        else { throw Fault(.request, "model.generation", "cannot read `generation.json`", why: "it lacks a context length, an end of text, a chat template or a precision") }
        self.init(chatTemplate: template.string, template: json["template"]?.string, contextLength: Int(length), endOfText: Int(end), precision: precision)
    }
}
