package import ForgeCore
import ForgeHTTP

extension RegistryClient {
    /// The evidence behind one answer, as the file an auditor keeps.
    package func receiptBytes(_ id: ID) async throws(Fault) -> [UInt8] {
        try await http.send(.get, HTTPClient.path("v1", "receipts", id.description), timeout: .seconds(60)).body
    }

    package func receipt(_ id: ID) async throws(Fault) -> ReceiptBundle { try ReceiptBundle(parsing: try await receiptBytes(id)) }
}
