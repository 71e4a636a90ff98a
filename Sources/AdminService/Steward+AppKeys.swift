package import AdminAPI
package import ForgeCore
package import ForgeGate

/// Applications' keys: shown once, kept as a digest, revoked at once everywhere.
extension Steward {
    package func appKeyViews() -> [AppKeyView] { appKeys.sorted.map(\.view) }

    /// - Parameter permit: for `appkey.create`.
    package func createAppKey(_ request: AppKeyRequest, with permit: consuming Permit) async throws(Fault) -> AppKeyCreated {
        guard case .user(let owner) = permit.request.principal, permit.request.action == "appkey.create" else {
            throw Fault(.denied, "appkey.permit", "the permit is for something else")
        }
        let (key, credential) = AppKeyBook.make(app: request.app, owner: owner, days: request.days ?? AppKeyBook.daysDefault, now: clock())
        do throws(Fault) {
            try appKeyJournal.append(AppKeyBook.created(key))
            try appKeys.apply(AppKeyBook.created(key))
            try changed()
        } catch {
            await conclude(permit, ok: false, code: error.code)
            throw error
        }
        await conclude(permit)
        return AppKeyCreated(key: key.view, credential: credential)
    }

    /// What can be refused without asking the policies.
    package nonisolated func check(_ request: AppKeyRequest) throws(Fault) {
        guard Directory.isName(request.app) else {
            throw Fault(.request, "appkey.app", "`\(request.app)` cannot be an application", why: "a name has 1 to 32 of `a-z 0-9 - _` and starts with a letter")
        }
        guard (1...AppKeyBook.daysMax).contains(request.days ?? AppKeyBook.daysDefault) else {
            throw Fault(.request, "appkey.days", "a key cannot be good for \(request.days ?? 0) days", why: "it is good for 1 to \(AppKeyBook.daysMax)")
        }
    }

    package func appKey(_ id: String) throws(Fault) -> AppKeyView {
        guard let key = appKeys.keys[id] else { throw Fault(.request, "appkey.not_found", "there is no key `\(id)`", remedy: "`forge key ls` lists them") }
        return key.view
    }

    /// - Parameter permit: for `appkey.revoke` on the key's application.
    package func revokeAppKey(_ id: String, with permit: consuming Permit) async throws(Fault) -> AppKeyView {
        guard permit.request.action == "appkey.revoke", permit.request.resource.id == appKeys.keys[id]?.app else {
            throw Fault(.denied, "appkey.permit", "the permit is for something else")
        }
        do throws(Fault) {
            if appKeys.keys[id]?.revoked == nil {
                let event = AppKeyBook.revoked(id, at: clock())
                try appKeyJournal.append(event)
                try appKeys.apply(event)
                try changed()
            }
        } catch {
            await conclude(permit, ok: false, code: error.code)
            throw error
        }
        await conclude(permit)
        return try appKey(id)
    }
}
