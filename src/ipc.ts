import { isMainThread, parentPort } from 'node:worker_threads'
import type { ClusterEngine } from './cluster/engine.ts'
import type { Channel } from './cluster/ipc/calls.ts'
import { ipcEngine } from './cluster/ipc/engine.ts'
import { IpcServer, type Send } from './cluster/ipc/server.ts'
import { systemClock } from './core/clock.ts'
import { Gate101Error } from './core/errors.ts'
import { memoryTicketStore } from './credentials/ticket-store.ts'

export type { ClusterEngine } from './cluster/engine.ts'

/** A child process, a `Worker`, or a worker of `node:cluster`: whatever takes and brings messages. */
export interface IpcPeer {
  send?(message: object, done: () => void): unknown
  postMessage?(message: object): unknown
  on(event: 'message', listener: (message: unknown) => void): unknown
  once(event: 'exit', listener: () => void): unknown
}

/** The module `node:cluster`, as its primary process has it. */
export interface ClusterModule {
  on(event: 'message', listener: (worker: ClusterWorker, message: unknown) => void): unknown
  on(event: 'exit', listener: (worker: ClusterWorker) => void): unknown
}

export interface ClusterWorker {
  send(message: object, done: () => void): unknown
}

export interface IpcHub {
  /** Serves one more process or thread: before it makes its gate. */
  add(peer: IpcPeer): void
}

/**
 * In the process that all others have been started by: keeps what their gates share, for as long as it lives.
 *
 * @param cluster - the module `node:cluster`: serves all of its workers. Others are named by `add`.
 * @example
 * ```ts
 * import cluster from 'node:cluster'
 * if (cluster.isPrimary) {
 *   ipcHub(cluster)
 *   for (let n = 0; n < 4; n++) cluster.fork()
 * }
 * ```
 */
export function ipcHub(cluster?: ClusterModule): IpcHub {
  const server = new IpcServer(systemClock, () => memoryTicketStore(systemClock))
  cluster?.on('message', (worker, message) => server.take(worker, message, sendTo(worker)))
  cluster?.on('exit', (worker) => server.drop(worker))
  return {
    add(peer): void {
      const send = sendTo(peer)
      peer.on('message', (message) => server.take(peer, message, send))
      peer.once('exit', () => server.drop(peer))
    },
  }
}

/**
 * The engine of a process or thread whose starter has called {@link ipcHub}. Revocations, tickets and limits hold for all of them, and are
 * gone with the process of the hub.
 *
 * @throws Gate101Error `GATE101_CONFIG` in a process that was not started with a channel to another one.
 * @example
 * ```ts
 * const gate = createGate({ identify, secret: process.env.GATE_SECRET, cluster: ipcCluster() })
 * ```
 */
export function ipcCluster({ prefix = 'gate101' }: { readonly prefix?: string } = {}): ClusterEngine {
  return ipcEngine(channelOfThisProcess(), prefix)
}

/** Who is gone does not hear it; without this it would be an error of the process that has sent it. */
const ignore = (): void => undefined

function sendTo(peer: Pick<IpcPeer, 'send' | 'postMessage'>): Send {
  return (message) => {
    try {
      if (peer.send === undefined) peer.postMessage?.(message)
      else peer.send(message, ignore)
    } catch {
      // It has gone: whatever it waited for, it does not any more.
    }
  }
}

function channelOfThisProcess(): Channel {
  if (!isMainThread && parentPort !== null) {
    const port = parentPort
    return {
      send: (message) => port.postMessage(message),
      listen(listener) {
        port.on('message', listener)
        return () => void port.off('message', listener)
      },
    }
  }
  if (process.send === undefined) {
    const message =
      'ipcCluster(): this process has no channel to another one. Start it by cluster.fork(), fork() or new Worker(), with ipcHub() there.'
    throw new Gate101Error('GATE101_CONFIG', message)
  }
  return {
    send: (message) => void process.send?.(message, undefined, {}, ignore),
    listen(listener) {
      process.on('message', listener)
      return () => void process.off('message', listener)
    },
  }
}
