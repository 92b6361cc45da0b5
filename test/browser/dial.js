// Runs in the page.
/** Opens each WebSocket: `open` and the subprotocol, or the code with which it was closed before. */
export function dial(all) {
  const one = ([url, protocols]) =>
    new Promise((resolve) => {
      const socket = new WebSocket(url.replace('http', 'ws'), [...protocols, 'refusal.gate101'])
      socket.addEventListener('open', () => resolve(`open ${socket.protocol}`))
      socket.addEventListener('close', ({ code }) => resolve(String(code)))
    })
  return Promise.all(all.map(one))
}
