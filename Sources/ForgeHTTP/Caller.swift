package import ForgeOS

/// Which socket a request came in by; apps and operators may have different ones.
package struct Door: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    package let name: String
    package init(_ name: String) { self.name = name }
    package init(stringLiteral value: String) { name = value }
    package var description: String { name }
}

/// Who is calling, before anybody has looked up who that is. uid, gid and pid are the kernel's word, taken once per connection.
package struct Caller: Hashable, Sendable {
    package let uid: UInt32
    package let gid: UInt32
    package let pid: UInt32
    /// What stood after `Authorization: Bearer `. A secret: never logged, never in a message.
    package let bearer: String?
    package let door: Door

    package init(uid: UInt32, gid: UInt32, pid: UInt32, bearer: String? = nil, door: Door) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.bearer = bearer
        self.door = door
    }

    package init(_ peer: PeerCredentials, bearer: String? = nil, door: Door) {
        self.init(uid: peer.uid, gid: peer.gid, pid: peer.pid, bearer: bearer, door: door)
    }
}

extension Caller: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "uid \(uid), pid \(pid), by \(door)" + (bearer == nil ? "" : ", with a bearer") }
    package var debugDescription: String { description }
    // So that no dump shows the bearer either.
    package var customMirror: Mirror { Mirror(self, children: ["uid": uid, "gid": gid, "pid": pid, "door": door.name]) }
}
