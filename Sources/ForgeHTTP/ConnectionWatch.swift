import NIOCore
import Synchronization

/// Notices clients that are too slow: one that drips its head, and one that does not read its response.
final class ConnectionWatch: Sendable {
    let headTime: TimeAmount
    let stallTime: TimeAmount
    private struct State {
        var waitsForHead = true
        var turn = 0
    }
    private let state = Mutex(State())

    init(headTime: Duration, stallTime: Duration) {
        self.headTime = TimeAmount(headTime)
        self.stallTime = TimeAmount(stallTime)
    }

    /// The turn that a head is awaited in, or nil while a request is being answered.
    var awaitedTurn: Int? { state.withLock { $0.waitsForHead ? $0.turn : nil } }

    func headArrived() { state.withLock { $0.waitsForHead = false } }

    func requestDone() {
        state.withLock { state in
            state.waitsForHead = true
            state.turn += 1
        }
    }
}

/// Sits at the socket's end of the pipeline and sees bytes, so that a head that never completes is seen too.
final class WatchHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let watch: ConnectionWatch
    private var armedTurn: Int?
    private var stall: Scheduled<Void>?

    init(_ watch: ConnectionWatch) { self.watch = watch }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let turn = watch.awaitedTurn, armedTurn != turn {
            armedTurn = turn
            let channel = context.channel, watch = watch
            context.eventLoop.scheduleTask(in: watch.headTime) { if watch.awaitedTurn == turn { channel.close(promise: nil) } }
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
