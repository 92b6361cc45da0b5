import { ipcHub } from '../../src/ipc.ts'

// The hub as a process of its own: it serves the one that has started it.
ipcHub().add({
  send: (message) => process.send?.(message),
  on: (event, listener) => process.on(event, listener),
  once: (event, listener) => process.once(event, listener),
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
