package import ForgeAudit
package import ForgeCore
package import ForgeGate
package import RegistryAPI

/// Gathers records while a call is under way, so that many requests share one round trip and one commit. Order is kept; nobody is answered before their
/// own record is durable.
package actor AppendQueue: AuditPort {
    /// Records one call carries at most.
    private static let batchMax = 256

    private let log: any AuditPort
    private var waiting: [(entries: [AuditEntry], reply: CheckedContinuation<Result<[AuditIndex], Fault>, Never>)] = []
    private var isSending = false

    package init(_ log: any AuditPort) { self.log = log }

    package func append(_ entries: [AuditEntry]) async throws(Fault) -> [AuditIndex] {
        let result = await withCheckedContinuation { reply in
            waiting.append((entries, reply))
            guard !isSending else { return }
            isSending = true
            // Sends until nothing waits; whoever waits keeps it in view.
            Task { await self.send() }
        }
        return try result.get()
    }

    private func send() async {
        while !waiting.isEmpty {
            var count = 0
            let batch = waiting.prefix { item in
                defer { count += item.entries.count }
                return count == 0 || count + item.entries.count <= AppendQueue.batchMax
            }
            waiting.removeFirst(batch.count)
            // More may arrive during the call; they form the next batch.
            do throws(Fault) {
                let indexes = try await log.append(batch.flatMap(\.entries))
                var start = 0
                for item in batch {
                    item.reply.resume(returning: .success(Array(indexes[start..<start + item.entries.count])))
                    start += item.entries.count
                }
            } catch {
                await retry(Array(batch), error)
            }
        }
        isSending = false
    }

    /// One record that does not read must not refuse its neighbours: after a refusal each goes alone.
    private func retry(_ batch: [(entries: [AuditEntry], reply: CheckedContinuation<Result<[AuditIndex], Fault>, Never>)], _ fault: Fault) async {
        for item in batch {
            guard batch.count > 1, fault.kind == .request else {
                item.reply.resume(returning: .failure(fault))
                continue
            }
            do throws(Fault) { item.reply.resume(returning: .success(try await log.append(item.entries))) } catch { item.reply.resume(returning: .failure(error)) }
        }
    }
}
