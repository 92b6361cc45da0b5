// What a client of the load hears: when frames have come, and when it is over.
import { CLOSE } from './frames.mjs'
import { now } from './revoked.mjs'

/** Messages that everyone who will be out has had before. */
const BEFORE = 3

/** Notes when frames come, and answers the Close. */
export function listen(client) {
  const { frames, socket } = client
  const seen = { client, messages: 0, lastAt: 0, closedAt: 0, gone: undefined, heard: () => {} }
  seen.gone = new Promise((resolve) => socket.once('close', resolve))
  client.onMessage = () => {
    seen.lastAt = now()
    if (frames.closed && seen.closedAt === 0) {
      seen.closedAt = seen.lastAt
      socket.write(CLOSE)
    }
    seen.heard()
  }
  return seen
}

/** Resolves when messages have come. */
export function hearsEnough(seen) {
  return new Promise((resolve) => {
    seen.heard = () => {
      if (seen.client.frames.messages >= BEFORE) resolve()
    }
  })
}
