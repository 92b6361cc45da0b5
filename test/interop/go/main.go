// Dials a WebSocket with gorilla/websocket and prints the echo of one text. When the handshake is refused it prints the
// status and the body of the answer and exits with 1.
//
//	dial [-key KEY] [-text TEXT] [URL]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	key := flag.String("key", "", "value of the header X-Api-Key; no header when empty")
	text := flag.String("text", "hello", "text to send")
	flag.Parse()
	url := "ws://localhost:8080/ws"
	if flag.NArg() > 0 {
		url = flag.Arg(0)
	}
	if err := dial(url, *key, *text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func dial(url, key, text string) error {
	header := http.Header{}
	if key != "" {
		header.Set("X-Api-Key", key)
	}
	conn, response, err := websocket.DefaultDialer.Dial(url, header)
	if errors.Is(err, websocket.ErrBadHandshake) {
		body, _ := io.ReadAll(response.Body)
		fmt.Printf("%d\n%s\n", response.StatusCode, body)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		return err
	}
	_, echo, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	fmt.Println(string(echo))
	return conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
}
