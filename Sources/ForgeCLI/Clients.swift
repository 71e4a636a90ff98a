internal import AdminAPI
internal import ForgeCore
internal import ForgeHTTP
internal import RegistryAPI
internal import ServeAPI

extension Global {
    /// A client of one daemon, with this person's sign-in when there is one.
    func http(_ socket: String, timeout: Duration = .seconds(60)) throws(Fault) -> HTTPClient {
        HTTPClient(socket: place.socket(socket), bearer: try SessionFile(path: place.sessionPath).read(), timeout: timeout)
    }

    func admin() throws(Fault) -> AdminClient { AdminClient(try http("admin")) }
    func registry() throws(Fault) -> RegistryClient { RegistryClient(try http("registry", timeout: .seconds(120))) }
}

extension Timestamp {
    init(microseconds: Int64) { self.init(nanoseconds: microseconds &* 1000) }

    /// To the second, for tables.
    var brief: String { String(description.prefix(19)) + "Z" }
}
