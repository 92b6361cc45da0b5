/** Why the app is being run: for a handshake, again for a first message, for a re-check, or by `gate.inject()`. */
export type Phase = 'handshake' | 'message' | 'recheck' | 'inject'
