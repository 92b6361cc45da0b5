// Dials an endpoint of a gate101 server by one road (docs/PROTOCOL.md), sends a text when the connection is open, and prints
// one line of JSON that says what happened. Exits with 0 when the connection was open, else with 1.
//
//	dial [-readable] ROAD wss://example.com/live
//
// ROAD: header, ticket, ticket-item, subprotocol, message, or probe, which asks why a handshake is refused. Credentials come
// from the environment, where the list of processes does not show them: DIAL_TOKEN, DIAL_USERNAME with DIAL_PASSWORD, DIAL_COOKIE.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const patience = 20 * time.Second

var token, username, password = os.Getenv("DIAL_TOKEN"), os.Getenv("DIAL_USERNAME"), os.Getenv("DIAL_PASSWORD")

// What happened: no credential, and no URL that could hold one. The outcome is open, refused, lost, or unsafe: this program
// would not go on. The phase is ticket, handshake, message, open or probe.
var result = map[string]interface{}{"phase": "handshake"}

func main() {
	readable := flag.Bool("readable", false, "asks for refusals as a Close frame")
	flag.Parse()
	road := flag.Arg(0)
	result["road"] = road
	endpoint, err := url.Parse(flag.Arg(1))
	if err != nil || !isPrivate(endpoint) || len(credential(endpoint)) == 0 { // never anonymous
		finish("unsafe", "stop")
	}
	header, protocols := http.Header{}, []string{"gate101"}
	switch road {
	case "header":
		header = credential(endpoint)
	case "subprotocol":
		protocols = append(protocols, "base64url.bearer.authorization.gate101."+base64.RawURLEncoding.EncodeToString([]byte(token)))
	case "ticket":
		endpoint.RawQuery = "ticket=" + askForTicket(endpoint, header)
	case "ticket-item":
		protocols = append(protocols, "ticket.gate101."+askForTicket(endpoint, header))
	case "probe":
		result["phase"] = "probe"
		refused(send("GET", endpoint, endpoint.Path))
	case "message": // the credential comes later
	default:
		flag.Usage()
		os.Exit(2)
	}
	if *readable {
		protocols = append(protocols, "refusal.gate101")
	}
	dialer := websocket.Dialer{HandshakeTimeout: patience, Subprotocols: protocols} // follows no redirect
	conn, response, err := dialer.Dial(endpoint.String(), header)
	if err != nil {
		refused(response, err)
	}
	converse(conn, road)
}

// Prints what happened, and exits.
func finish(outcome, next string) {
	result["outcome"] = outcome
	if next != "" {
		result["next"] = next
	}
	line, _ := json.Marshal(result)
	fmt.Println(string(line))
	os.Exit(map[bool]int{true: 0, false: 1}[outcome == "open"])
}

// The credential as HTTP headers. A cookie alone needs the Origin that a browser would send.
func credential(endpoint *url.URL) http.Header {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	} else if username != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(username+":"+password)))
	} else if cookie := os.Getenv("DIAL_COOKIE"); cookie != "" {
		header.Set("Cookie", cookie)
		header.Set("Origin", strings.Replace(endpoint.Scheme, "ws", "http", 1)+"://"+endpoint.Host)
	}
	return header
}

// Sends a plain HTTP request to the server of the endpoint. A redirect is an answer: it is not followed.
func send(method string, endpoint *url.URL, path string) (*http.Response, error) {
	place := url.URL{Scheme: strings.Replace(endpoint.Scheme, "ws", "http", 1), Host: endpoint.Host, Path: path}
	header := credential(endpoint)
	header.Set("Content-Type", "application/json")
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := http.Client{Timeout: patience, CheckRedirect: stay}
	return client.Do(&http.Request{Method: method, URL: &place, Header: header})
}

// Gets a ticket for one handshake, which must have the same Origin. Here the route that makes them is below the endpoint.
func askForTicket(endpoint *url.URL, handshake http.Header) string {
	result["phase"] = "ticket"
	response, err := send("POST", endpoint, endpoint.Path+"/ticket")
	if err != nil || response.StatusCode != 200 {
		refused(response, err)
	}
	var answer struct{ Ticket, URL string }
	err = json.NewDecoder(io.LimitReader(response.Body, 65536)).Decode(&answer)
	if err != nil || answer.URL != endpoint.Path+"?ticket="+answer.Ticket {
		finish("unsafe", "stop") // a ticket for somewhere else
	}
	result["phase"] = "handshake"
	if origin := credential(endpoint).Get("Origin"); origin != "" {
		handshake.Set("Origin", origin)
	}
	return answer.Ticket
}

// Ends with an HTTP answer that is a refusal: the app's own, or one of the gate's, which has its code in the body.
func refused(response *http.Response, err error) {
	if response == nil || (err != nil && !errors.Is(err, websocket.ErrBadHandshake)) {
		finish("lost", "wait")
	}
	var advice struct{ Error string }
	if json.NewDecoder(io.LimitReader(response.Body, 65536)).Decode(&advice) != nil || advice.Error == "" {
		advice.Error = "app"
	}
	result["status"], result["code"] = response.StatusCode, advice.Error
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		result["retryAfter"] = seconds
	}
	if result["phase"] == "probe" && response.StatusCode == 426 {
		finish("open", "wait")
	}
	finish("refused", next(response.StatusCode, ""))
}

// Talks over a connection that has its 101.
func converse(conn *websocket.Conn, road string) {
	conn.SetReadDeadline(time.Now().Add(patience))
	switch selected := conn.Subprotocol(); selected {
	case "", "gate101":
		result["protocol"] = selected
	case "refusal.gate101":
		result["protocol"] = selected
		read(conn) // a Close comes, and nothing else
	default: // one that carries a credential, not to be printed either
		finish("unsafe", "stop")
	}
	if road == "message" {
		result["phase"] = "message"
		authenticate(conn)
	}
	result["phase"] = "open"
	conn.WriteMessage(websocket.TextMessage, []byte("hello"))
	result["echo"] = string(read(conn))
	conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	finish("open", "")
}

// Sends the first message. Nothing else may be sent until auth_ok is there.
func authenticate(conn *websocket.Conn) {
	message := map[string]string{"type": "auth", "username": username, "password": password}
	if token != "" {
		message = map[string]string{"type": "auth", "token": token}
	}
	conn.WriteJSON(message)
	var answer struct {
		Type, Subject, Code           string
		Status, RetryAfter, ExpiresIn *int
	}
	err := json.Unmarshal(read(conn), &answer)
	if err == nil && answer.Type == "auth_error" && answer.Status != nil {
		result["status"], result["code"] = *answer.Status, answer.Code
		if answer.RetryAfter != nil {
			result["retryAfter"] = *answer.RetryAfter
		}
		read(conn) // the Close
	}
	if err != nil || answer.Type != "auth_ok" {
		finish("unsafe", "stop")
	}
	result["subject"], result["expiresIn"] = answer.Subject, answer.ExpiresIn
}

// Reads a message; ends where a Close came instead. What auth_error has said before counts more.
func read(conn *websocket.Conn) []byte {
	_, data, err := conn.ReadMessage()
	if err == nil {
		return data
	}
	var end *websocket.CloseError
	if errors.As(err, &end) && end.Code != websocket.CloseAbnormalClosure {
		result["close"] = end.Code
	}
	if status, said := result["status"].(int); said {
		finish("refused", next(status, ""))
	}
	if result["close"] == nil {
		finish("lost", "wait")
	}
	result["code"] = end.Text
	finish("refused", next(end.Code, end.Text))
	return nil
}

// What a client does after this HTTP status or Close code (section 12).
func next(code int, word string) string {
	switch {
	case code == 401, code == 4401, code >= 300 && code < 400:
		return "renew"
	case code == 408, code == 4408:
		return "again"
	case word == "too_many_frames":
		return "stop"
	case code == 429, code == 4429, code >= 500 && code < 600, code == 1001, code == 1005, code >= 1011 && code <= 1013:
		return "wait"
	}
	return "stop"
}

// Whether what is sent there is encrypted, or stays on this machine.
func isPrivate(endpoint *url.URL) bool {
	host := endpoint.Hostname()
	return endpoint.Scheme == "wss" || (endpoint.Scheme == "ws" && (host == "localhost" || host == "127.0.0.1" || host == "::1"))
}
