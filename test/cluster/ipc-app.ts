import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createGate } from '../../src/index.ts'
import { ipcCluster, ipcHub } from '../../src/ipc.ts'

// A program of several processes on one port, as node:cluster starts them. It prints a line when all are ready, and for what a worker is told.
const COUNT = 3

async function runWorker(): Promise<void> {
  const gate = createGate({
    identify: ({ headers }) => ({ subject: String(headers['x-api-key']), issuedAt: new Date(0) }),
    secret: process.env['SECRET'] ?? '',
    cluster: ipcCluster(),
    limits: { connectionsPerSubject: 6 },
  })
  const endpoint = gate.websocket((socket) => socket.send(String(process.pid)))
  const server = createServer((req, res) => {
    if (!req.url?.startsWith('/revoke/')) return endpoint(req, res)
    gate.revoke({ subject: req.url.slice('/revoke/'.length) }).then(
      (revoked) => res.end(JSON.stringify(revoked)),
      (error: unknown) => res.writeHead(500).end(String(error)),
    )
    return undefined
  })
  gate.attach(server)
  server.listen(Number(process.env['PORT']), '127.0.0.1')
  await once(server, 'listening')
  while (!gate.ready) await new Promise<void>((resolve) => gate.on('cluster', () => resolve()))
  process.send?.({ ready: (server.address() as AddressInfo).port })
}

async function runPrimary(): Promise<void> {
  ipcHub(cluster)
  let port = 0
  // All that ask for any port get the same one.
  for (let n = 0; n < COUNT; n++) {
    const worker = cluster.fork({ PORT: '0' })
    port = await new Promise<number>((resolve) => {
      worker.on('message', (message: { ready?: number }) => {
        if (message.ready !== undefined) resolve(message.ready)
      })
    })
  }
  const pids = Object.values(cluster.workers ?? {}).map((worker) => worker?.process.pid)
  console.log(JSON.stringify({ port, pids }))
}

await (cluster.isPrimary ? runPrimary() : runWorker())
