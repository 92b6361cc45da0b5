// What every server here does with an open `ws` WebSocket, gate101's and the controls' alike.

let last

const ignore = () => {}

export function echo(ws) {
  last = ws
  ws.on('error', ignore)
  ws.on('message', answer)
}

function answer(data, isBinary) {
  this.send(data, { binary: isBinary })
}

/** Listeners on the way of a message, on the connection opened last; sees a wrapper or a patched `emit` too. */
export function listenersOfLast() {
  if (last === undefined) return undefined
  const count = (emitter, names) => Object.fromEntries(names.map((name) => [name, emitter.listenerCount(name)]))
  return {
    webSocket: { ...count(last, ['message', 'newListener', 'ping', 'pong']), own: ownFunctions(last) },
    receiver: count(last._receiver, ['message', 'conclude', 'drain', 'error', 'ping', 'pong']),
    socket: { ...count(last._socket, ['data', 'readable', 'drain']), own: ownFunctions(last._socket) },
  }
}

/** Names of methods that were replaced on the object itself; one that was put back as it was does not count. */
function ownFunctions(object) {
  const inherited = Object.getPrototypeOf(object)
  return Object.keys(object).filter((name) => typeof inherited[name] === 'function' && object[name] !== inherited[name])
}
