import AdminAPI
package import ForgeCore
import ForgeCrypto

/// Challenges that were handed out and people who signed in. In memory only: after a restart everybody signs in again.
/// Times are UTC microseconds, given by the caller.
package struct SessionTable: Sendable {
    package struct Session: Sendable, Hashable {
        package let id: ID
        package let user: String
        package let uid: UInt32
        /// SHA-256 of the credential.
        package let digest: Digest
        package let started: Int64
        package var used: Int64

        package var expires: Int64 { min(started + SessionTable.lifetime, used + SessionTable.idle) }
    }

    package static let idle: Int64 = 15 * 60 * 1_000_000
    package static let lifetime: Int64 = 8 * 3600 * 1_000_000
    static let challengeLifetime: Int64 = 120 * 1_000_000
    static let challengesPerUID = 16
    /// Signing in once more drops the oldest.
    static let sessionsPerUser = 8

    private struct Challenge { let uid: UInt32, expires: Int64 }
    private var challenges: [String: Challenge] = [:]
    private var sessions: [Digest: Session] = [:]

    package init() {}

    package var all: [Session] { sessions.values.sorted { $0.id < $1.id } }

    // MARK: challenges

    /// A challenge for this uid alone; a uid that asks too often loses its oldest.
    mutating func challenge(uid: UInt32, now: Int64) -> (text: String, expires: Int64) {
        challenges = challenges.filter { $0.value.expires > now }
        let own = challenges.filter { $0.value.uid == uid }
        if own.count >= SessionTable.challengesPerUID, let oldest = own.min(by: { $0.value.expires < $1.value.expires }) { challenges[oldest.key] = nil }
        let text = Hex.encode(Random.bytes(32))
        let expires = now + SessionTable.challengeLifetime
        challenges[text] = Challenge(uid: uid, expires: expires)
        return (text, expires)
    }

    /// Whether it was handed to this uid and is still good. It is spent either way.
    mutating func spend(_ text: String, uid: UInt32, now: Int64) -> Bool {
        guard let challenge = challenges.removeValue(forKey: text) else { return false }
        return challenge.uid == uid && challenge.expires > now
    }

    // MARK: sessions

    /// - Returns: the credential, which is kept nowhere.
    mutating func open(user: String, uid: UInt32, now: Int64) -> (session: Session, credential: String) {
        let credential = "forge_ses_" + Base62.encode(Random.bytes(32))
        let session = Session(id: ID(), user: user, uid: uid, digest: Digest.sha256(credential), started: now, used: now)
        let own = sessions.values.filter { $0.user == user }.sorted { $0.used < $1.used }
        for old in own.prefix(max(0, own.count - SessionTable.sessionsPerUser + 1)) { sessions[old.digest] = nil }
        sessions[session.digest] = session
        return (session, credential)
    }

    func find(_ digest: Digest, uid: UInt32, now: Int64) -> Session? {
        guard let session = sessions[digest], session.uid == uid, session.expires > now else { return nil }
        return session
    }

    func isSignedIn(user: String, uid: UInt32, now: Int64) -> Bool { sessions.values.contains { $0.user == user && $0.uid == uid && $0.expires > now } }

    /// Counts as use. - Returns: whether the deadline moved by enough to tell the other daemons.
    mutating func touch(_ digest: Digest, now: Int64) -> Bool {
        guard var session = sessions[digest], session.expires > now, now - session.used >= 60_000_000 else { return false }
        session.used = now
        sessions[digest] = session
        return true
    }

    @discardableResult
    mutating func close(_ digest: Digest) -> Bool { sessions.removeValue(forKey: digest) != nil }

    /// Forgets what has run out. - Returns: whether anything did.
    mutating func sweep(now: Int64) -> Bool {
        let before = sessions.count
        sessions = sessions.filter { $0.value.expires > now }
        return sessions.count != before
    }
}
