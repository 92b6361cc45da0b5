import type { SocketFacts } from './sink.ts'

/** The facts of a socket as they are now: they stay when it is gone. */
export function snapshotOf(socket: SocketFacts): SocketFacts {
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily } = socket
  const facts = { remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily }
  return socket.encrypted === true ? { ...facts, ...tlsFactsOf(socket) } : facts
}

function tlsFactsOf(socket: SocketFacts): SocketFacts {
  const { authorized, authorizationError, servername, alpnProtocol } = socket
  const [certificate, chain] = [socket.getPeerCertificate?.(), socket.getPeerCertificate?.(true)]
  const [x509, cipher, protocol] = [socket.getPeerX509Certificate?.(), socket.getCipher?.(), socket.getProtocol?.()]
  return {
    encrypted: true,
    authorized,
    authorizationError,
    servername,
    alpnProtocol,
    getPeerCertificate: (detailed) => (detailed === true ? chain : certificate),
    getPeerX509Certificate: () => x509,
    getCipher: () => cipher,
    getProtocol: () => protocol,
  }
}
