import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { frame } from '../../support/frames.ts'
import { connectRaw, handshakeText, type RawConnection } from '../../support/raw.ts'
import { authFrame, assertOk, closeOf, openWaiting, outcomeOf, STACK_NAMES, textsOf } from './support.ts'

const RIGHT = 'right-Kx82-jellyfish'
const LATE = 'late-Vu93-starfish'
const TOKEN = 'token-Qd47-cuttlefish'
const WRONG = 'wrong-Hb65-catfish'
const PASSWORDS = [RIGHT, LATE, WRONG]

/** A secret as it is, and in every way in which base64 can hold it behind a name and a colon. */
function spellings(secret: string): string[] {
  const encoded = ['', 'a', 'ab'].map((before) =>
    Buffer.from(before + secret)
      .toString('base64')
      .slice(before.length === 0 ? 0 : 4, -4),
  )
  return [secret, Buffer.from(secret).toString('hex'), ...encoded]
}

function assertNowhere(where: string, bytes: Buffer | string, secrets: readonly string[]): void {
  for (const secret of secrets) {
    for (const spelling of spellings(secret)) {
      assert.equal(bytes.includes(spelling), false, `${where} holds ${secret} as ${spelling}`)
    }
  }
}

let child: ChildProcess
let ports: Readonly<Record<string, number>>
let printed = ''
/** Everything that clients were sent. */
const received: Buffer[] = []
const open: RawConnection[] = []

before(async () => {
  const digest = (secret: string): string => createHash('sha256').update(secret).digest('hex')
  child = fork(new URL(import.meta.resolve('./secrets-server.ts')), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, DIGESTS: [RIGHT, LATE, TOKEN].map(digest).join() },
    silent: true,
  })
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (printed += String(data)))
  const [message] = (await once(child, 'message')) as [Record<string, number>]
  ports = message
})
after(() => {
  for (const connection of open) connection.destroy()
  child.kill()
})

async function send(port: number, ...messages: Buffer[]): Promise<number> {
  await using connection = await openWaiting({ port })
  connection.send(Buffer.concat(messages))
  const outcome = await outcomeOf(connection)
  if (outcome !== 0) await closeOf(connection)
  received.push(connection.received())
  return outcome
}

async function logIn(port: number, message: Buffer, cookie = false): Promise<void> {
  const connection = await connectRaw({ port })
  open.push(connection)
  connection.send(handshakeText(cookie ? { headers: { Cookie: 'sid=ann', Origin: 'http://localhost' } } : {}))
  await connection.response()
  connection.send(message)
  assertOk((await textsOf(connection, 1))[0])
  received.push(connection.received())
}

describe('secrets', () => {
  it('are used in every way', async () => {
    const text = (object: object): Buffer => frame(JSON.stringify(object))
    for (const name of [...STACK_NAMES, 'library']) {
      const port = ports[name] ?? 0
      await logIn(port, authFrame('ann', RIGHT))
      if (name !== 'no app') await logIn(port, text({ type: 'auth', token: TOKEN }))
      // The socket of a library is the library's from the 101 on.
      if (name !== 'no app' && name !== 'library') await logIn(port, authFrame('ann', LATE), true)
      assert.equal(await send(port, authFrame('ann', WRONG)), 4401)
      assert.equal(await send(port, authFrame('ann', RIGHT), authFrame('ann', RIGHT)), 4400)
      for (const malformed of [
        frame(`{"type":"auth","username":"ann","password":"${WRONG}"`),
        frame(WRONG),
        frame(`{"type":"auth","username":"ann","password":"${WRONG}","${WRONG}":}`),
        text({ type: 'auth', token: `${TOKEN} ` }),
        text({ type: 'auth', username: `${WRONG}:`, password: RIGHT }),
        text({ type: 'auth', headers: { [WRONG]: RIGHT } }),
        text({ type: 'auth', headers: { authorization: `${RIGHT}\n` } }),
        frame(`{"type":"auth","password":"${WRONG}","x":"${'x'.repeat(4097)}"}`),
        frame(RIGHT, { rsv: 4 }),
      ])
        assert.ok([4400, 1002, 1009].includes(await send(port, malformed)))
      await send(port, text({ type: 'auth', token: WRONG }))
      await send(port, authFrame('breaks', RIGHT))
      if (name !== 'library') await send(port, authFrame('hangs', RIGHT))
    }
    for (const message of [WRONG, `{"authorization":"Bearer ${WRONG}" x`, `{"authorization":"Bearer ${WRONG}\\n"}`])
      assert.ok([4400, 1011].includes(await send(ports['toHeaders'] ?? 0, frame(message))))
  })

  it('are in nothing that a client was sent', () => {
    assert.ok(received.length > 50)
    assertNowhere('what was sent', Buffer.concat(received), [...PASSWORDS, TOKEN])
  })

  it('are in no event, warning, error or output', async () => {
    await new Promise((resolve) => setTimeout(resolve, 150))
    assert.match(printed, /type: 'accepted'/)
    assert.match(printed, /bad_auth_message/)
    assertNowhere('the output', printed, [...PASSWORDS, TOKEN])
  })

  it('no password is in the heap after the verdict, though the connections are open and the app keeps what it got', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gate101-'))
    try {
      const answer = once(child, 'message') as Promise<[{ file: string; kept: number }]>
      child.send(join(folder, 'heap.heapsnapshot'))
      const [{ file, kept }] = await answer
      assert.ok(kept >= STACK_NAMES.length)
      const heap = await readFile(file)
      assert.ok(heap.includes('kept'), 'control: the snapshot holds strings')
      assertNowhere('the heap', heap, PASSWORDS)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
