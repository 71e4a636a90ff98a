import NIOCore
import Synchronization

/// Notices clients that are too slow: one that drips its head, and one that does not read its response.
final class ConnectionWatch: Sendable {
    let headTime: TimeAmount
    let stallTime: TimeAmount
    /// Where a connection is in its life.
    enum Phase: Sendable {
        /// Connected, and nothing was said yet.
        case fresh
        /// Answered before, and nothing was said since.
        case idle
        /// A request has begun to arrive.
        case head
        case answer
    }

    private struct State {
        var phase = Phase.fresh
        var turn = 0
    }
    private let state = Mutex(State())

    init(headTime: Duration, stallTime: Duration) {
        self.headTime = TimeAmount(headTime)
        self.stallTime = TimeAmount(stallTime)
    }

    var phase: Phase { state.withLock { $0.phase } }

    /// - Returns: the turn whose head begins with these bytes; nil when it began before.
    func bytesArrived() -> Int? {
        state.withLock { state in
            guard state.phase == .fresh || state.phase == .idle else { return nil }
            state.phase = .head
            return state.turn
        }
    }

    /// Whether the head of that turn is still incomplete.
    func awaitsHead(of turn: Int) -> Bool { state.withLock { $0.turn == turn && $0.phase == .head } }

    func headArrived() { state.withLock { $0.phase = .answer } }

    func requestDone() {
        state.withLock { state in
            state.phase = .idle
            state.turn += 1
        }
    }
}

/// Sits at the socket's end of the pipeline and sees bytes, so that a head that never completes is seen too.
final class WatchHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let watch: ConnectionWatch
    private var stall: Scheduled<Void>?

    init(_ watch: ConnectionWatch) { self.watch = watch }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let turn = watch.bytesArrived() {
            let channel = context.channel, watch = watch
            context.eventLoop.scheduleTask(in: watch.headTime) { if watch.awaitsHead(of: turn) { channel.close(promise: nil) } }
        }
        context.fireChannelRead(data)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = nil
        if !context.channel.isWritable {
            let channel = context.channel
            stall = context.eventLoop.scheduleTask(in: watch.stallTime) { channel.close(promise: nil) }
        }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        stall?.cancel()
        context.fireChannelInactive()
    }
}
