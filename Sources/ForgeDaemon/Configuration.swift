package import ForgeConfig
package import ForgeCore
package import ForgeGate
import ForgeOS
import Logging

/// The configuration file: a few keys for all daemons, and a section for each.
///
/// ```yaml
/// log_level: info
/// run: /run/forge
/// registry: { … }     # read by forge-registry alone
/// ```
package struct Configuration: Sendable {
    package static let defaultPath = "/etc/forge/forge.yaml"

    let run: String?
    let logLevel: Logger.Level?
    private let sections: [String: YAMLNode]
    private let source: String

    package init() { self.init(run: nil, logLevel: nil, sections: [:], source: "the built-in configuration") }

    private init(run: String?, logLevel: Logger.Level?, sections: [String: YAMLNode], source: String) {
        self.run = run
        self.logLevel = logLevel
        self.sections = sections
        self.source = source
    }

    /// - Parameter path: nil means the default place, where nothing has to be.
    static func load(_ path: String?) throws(Fault) -> Configuration {
        let place = path ?? defaultPath
        if path == nil, try Path.information(place) == nil { return Configuration() }
        return try parse(try File(place, .read).readAll(limit: .mib(1)), source: place)
    }

    package static func parse(_ bytes: [UInt8], source: String) throws(Fault) -> Configuration {
        let document: YAMLNode
        do throws(Fault) { document = try YAML.parse(bytes, source: source) } catch {
            // A file whose lines are all commented out says nothing, which is what the defaults are for.
            if error.code == "yaml.empty" { return Configuration() }
            throw error
        }
        if document.isNull { return Configuration() }
        var reader = try YAMLReader(document, source: source)
        let run = try reader.optionalString("run")
        let level = try reader.optionalChoice("log_level", of: Level.self)
        var sections: [String: YAMLNode] = [:]
        for name in DaemonName.allCases { sections[name.rawValue] = reader.node(name.rawValue) }
        try reader.finish()
        return Configuration(run: run, logLevel: level.flatMap { Logger.Level(rawValue: $0.rawValue) }, sections: sections, source: source)
    }

    /// One daemon's section. Read every key it knows, then `finish()`: what nobody asked for is refused with its line.
    package func section(_ name: DaemonName) throws(Fault) -> YAMLReader {
        let empty = try YAML.parse("{}", source: source)
        let node = sections[name.rawValue].flatMap { $0.isNull ? nil : $0 } ?? empty
        return try YAMLReader(node, source: source, at: name.rawValue)
    }

    private enum Level: String, CaseIterable { case trace, debug, info, notice, warning, error, critical }
}
