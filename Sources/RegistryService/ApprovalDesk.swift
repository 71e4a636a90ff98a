package import AdminAPI
package import ForgeCore

/// What the registry needs of forge-admin besides decisions: the signed votes behind an approval, and to tell how its execution ended.
package struct ApprovalDesk: Sendable {
    package let read: @Sendable (ID) async throws(Fault) -> ApprovalView
    package let report: @Sendable (ExecutionReport, ID) async throws(Fault) -> Void

    package init(read: @escaping @Sendable (ID) async throws(Fault) -> ApprovalView, report: @escaping @Sendable (ExecutionReport, ID) async throws(Fault) -> Void) {
        self.read = read
        self.report = report
    }

    package init(_ admin: AdminClient) {
        self.init(read: { id throws(Fault) in try await admin.approval(id) }, report: { report, id throws(Fault) in try await admin.report(report, of: id) })
    }
}
