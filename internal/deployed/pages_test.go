package deployed

import (
	"net"
	"net/http"
	"strings"
	"sync"
)

// Page is an answer of a gateway's own.
type Page struct {
	Name, ContentType, Location, Body string
	Code                              int
}

// Pages are what gateways answer in a manager's place. None of them is a word of
// the manager's.
var Pages = []Page{
	{Name: "404 as text", Code: 404, ContentType: "text/plain; charset=utf-8", Body: "404 page not found\n"},
	{Name: "404 as a page", Code: 404, ContentType: "text/html", Body: "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"},
	{Name: "403 as a page", Code: 403, ContentType: "text/html", Body: "<html><title>403 Forbidden</title><body>nginx</body></html>"},
	{Name: "403 of a firewall", Code: 403, ContentType: "text/html; charset=utf-8", Body: "<!DOCTYPE html><title>Request blocked</title>"},
	{Name: "a redirect to a login", Code: 302, Location: "https://login.example.com/?return=enroll", ContentType: "text/html", Body: "<a href=\"/login\">Found</a>"},
	{Name: "a redirect to http", Code: 301, Location: "http://manager.example.com/", ContentType: "text/html"},
	{Name: "502", Code: 502, ContentType: "text/html", Body: "<html><h1>502 Bad Gateway</h1></html>"},
	{Name: "503", Code: 503, ContentType: "text/html", Body: "<html><h1>503 Service Temporarily Unavailable</h1></html>"},
	{Name: "504", Code: 504, ContentType: "text/html", Body: "<html><h1>504 Gateway Time-out</h1></html>"},
	{Name: "a login page with 200", Code: 200, ContentType: "text/html", Body: "<html><form action=\"/login\"></form></html>"},
}

// Gateway stands in front of a manager. It names the host that asks in
// X-Forwarded-For, and while there are pages left it answers with them.
type Gateway struct {
	Manager http.Handler

	mu    sync.Mutex
	pages []Page
	asked []string
}

// Say makes the gateway answer the next requests itself, one page each.
func (g *Gateway) Say(pages ...Page) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pages = append(g.pages, pages...)
}

// Asked lists the requests so far, "METHOD path", tokens left out.
func (g *Gateway) Asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.asked...)
}

// Left returns the number of pages that no one has got yet.
func (g *Gateway) Left() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pages)
}

// next returns a page to say, if there is one.
func (g *Gateway) next(req *http.Request) (Page, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	path := req.URL.Path
	if strings.HasPrefix(path, "/api/v1/enroll/status/") {
		path = "/api/v1/enroll/status/…"
	}
	g.asked = append(g.asked, req.Method+" "+path)
	if len(g.pages) == 0 {
		return Page{}, false
	}
	page := g.pages[0]
	g.pages = g.pages[1:]
	return page, true
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	page, ours := g.next(req)
	if !ours {
		if host, _, err := net.SplitHostPort(req.RemoteAddr); err == nil {
			req.Header.Add("X-Forwarded-For", host)
		}
		g.Manager.ServeHTTP(w, req)
		return
	}
	w.Header().Set("Content-Type", page.ContentType)
	if page.Location != "" {
		w.Header().Set("Location", page.Location)
	}
	w.WriteHeader(page.Code)
	_, _ = w.Write([]byte(page.Body))
}
