import assert from 'node:assert/strict'
import { fork, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { WebSocket } from 'ws'
import { ipcEngine } from '../../src/cluster/ipc/engine.ts'
import { createGate, Gate101Error } from '../../src/index.ts'
import { ipcCluster, ipcHub } from '../../src/ipc.ts'
import { contract } from './contract.ts'

const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const execArgv = ['--import', 'tsx']

contract('ipc', async () => {
  const hub = fork(pathOf('ipc-hub.ts'), { execArgv })
  await once(hub, 'message')
  return {
    engine: (prefix = '') =>
      ipcEngine(
        {
          send: (message) => void hub.send(message),
          listen(listener) {
            hub.on('message', listener)
            return () => void hub.off('message', listener)
          },
        },
        prefix,
      ),
    async stop() {
      const exit = once(hub, 'exit')
      hub.kill()
      await exit
    },
  }
})

interface Revoked {
  readonly matched: number
  readonly closed: number
  readonly nodes: ReadonlyArray<{ readonly node: string; readonly closed: number | null }>
}

describe('several processes of node:cluster on one port', { timeout: 60_000 }, () => {
  it('share revocations and limits, also after one of them has died', async () => {
    const env = { ...process.env, SECRET: randomBytes(32).toString('base64url') }
    const app = spawn(process.execPath, [...execArgv, pathOf('ipc-app.ts')], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const [line] = (await once(createInterface({ input: app.stdout }), 'line')) as [string]
      const { port, pids } = JSON.parse(line) as { port: number; pids: number[] }
      const ann = await Promise.all(Array.from({ length: 6 }, () => dial(port, 'ann')))
      const bob = await dial(port, 'bob')
      assert.ok(new Set(ann.map(({ text }) => text)).size > 1, 'all are on one process')
      assert.equal((await dial(port, 'ann')).status, 429)
      const closed = ann.map(async ({ ws }) => (await once(ws!, 'close')) as [code: number, reason: Buffer])
      const revoked = await revoke(port, 'ann')
      assert.deepEqual([revoked.matched, revoked.closed, revoked.nodes.length], [6, 6, 3])
      for (const [code, reason] of await Promise.all(closed))
        assert.deepEqual([code, String(reason)], [4401, 'revoked'])
      assert.equal((await dial(port, 'ann')).status, 401)
      assert.equal(bob.ws?.readyState, WebSocket.OPEN)
      const gone = once(bob.ws, 'close')
      process.kill(Number(bob.text), 'SIGKILL')
      await gone
      const others = pids.filter((pid) => pid !== Number(bob.text))
      const carol = await Promise.all(Array.from({ length: 4 }, () => dial(port, 'carol')))
      assert.ok(carol.every(({ text }) => others.includes(Number(text))))
      const ends = carol.map(async ({ ws }) => await once(ws!, 'close'))
      assert.equal((await revoke(port, 'carol')).closed, 4)
      await Promise.all(ends)
    } finally {
      const exit = once(app, 'exit')
      app.kill()
      await exit
    }
  })
})

describe('threads', { timeout: 60_000 }, () => {
  it('are nodes as processes are', async () => {
    const code = `
      const { parentPort, workerData } = require('node:worker_threads')
      parentPort.on('message', (message) => message === 'stop' && process.exit())
      import(workerData.tsx).then(({ register }) => { register(); return import(workerData.entry) }).then(async ({ ipcCluster }) => {
        const engine = ipcCluster()
        await engine.open(() => undefined, () => parentPort.postMessage('woken'))
        const { generation } = await engine.read(0, 1)
        parentPort.postMessage(await engine.append(generation, new Uint8Array([7, 255, 0])))
        const { entries } = await engine.read(0, 9)
        parentPort.postMessage([...entries.at(-1).data].join())
      })`
    const tsx = import.meta.resolve('tsx/esm/api')
    const entry = new URL('../../src/ipc.ts', import.meta.url).href
    const hub = ipcHub()
    const said: unknown[] = []
    for (let n = 0; n < 2; n++) {
      const worker = new Worker(code, { eval: true, workerData: { tsx, entry } })
      hub.add(worker)
      const heard = new Promise<void>((resolve, reject) => {
        worker.on('error', reject)
        worker.on('message', (message) => {
          if (typeof message !== 'object' && message !== 'woken') said.push(message)
          if (message === '7,255,0') resolve()
        })
      })
      await heard
      await worker.terminate()
    }
    assert.deepEqual(said, [1, '7,255,0', 2, '7,255,0'])
  })
})

describe('without a hub', () => {
  it('a process that nobody has started this way is told so', () => {
    if (process.send !== undefined) return
    assert.throws(
      () => ipcCluster(),
      (error) => error instanceof Gate101Error && /ipcHub/.test(error.message),
    )
  })

  it('where nobody answers, nobody gets in, and the event says why', async () => {
    const engine = ipcEngine({ send: () => undefined, listen: () => () => undefined }, 'p')
    const gate = createGate({ identify: () => ({ subject: 'ann' }), secret: randomBytes(32), cluster: engine })
    const why = await new Promise<unknown>((resolve) => {
      gate.on('cluster', ({ outcome, cause }) => {
        if (outcome === 'lost' && cause !== undefined) resolve(cause)
      })
    })
    assert.match(String(why), /ipcHub\(cluster\)/)
    assert.equal(gate.ready, false)
    await gate.close()
  })
})

interface Dialled {
  readonly status: number
  readonly ws?: WebSocket
  readonly text?: string
}

/** Again where it was given to a process that was about to die. */
async function dial(port: number, key: string): Promise<Dialled> {
  return (await dialOnce(port, key)) ?? (await dial(port, key))
}

async function dialOnce(port: number, key: string): Promise<Dialled | undefined> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { 'X-Api-Key': key }, agent: false })
  return await new Promise((resolve) => {
    ws.on('error', () => resolve(undefined))
    ws.on('unexpected-response', (_req, res) => {
      res.resume()
      resolve({ status: res.statusCode ?? 0 })
    })
    ws.on('message', (data) => resolve({ status: 101, ws, text: String(data) }))
  })
}

async function revoke(port: number, subject: string): Promise<Revoked> {
  const response = await fetch(`http://127.0.0.1:${port}/revoke/${subject}`, { headers: { Connection: 'close' } })
  return (await response.json()) as Revoked
}
