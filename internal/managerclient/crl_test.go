package managerclient

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

// TestFetchCRL: the text is read as it arrives, however it is encoded, and what
// is no whole answer is an error, whatever was read of it.
func TestFetchCRL(t *testing.T) {
	plain := []byte("# revoked hosts\n" + strings.Repeat("-----BEGIN X509 CRL-----\n", 400))
	for _, c := range []struct {
		name, encoding string
		body           []byte
		missing        int
		status         int
		want           contract.Code
	}{
		{name: "plain", body: plain},
		{name: "short", body: plain[:20]},
		{name: "empty"},
		{name: "gzip", encoding: "gzip", body: coded(t, plain, "gzip")},
		{name: "deflate", encoding: "deflate", body: coded(t, plain, "zlib")},
		{name: "bare deflate", encoding: "deflate", body: coded(t, plain, "flate")},
		{name: "one over the other", encoding: "deflate, gzip", body: coded(t, plain, "zlib", "gzip")},
		{name: "said and not done", encoding: "gzip", body: plain},
		{name: "said br and not done", encoding: "br", body: plain},
		{name: "done and not said", body: coded(t, plain, "gzip")},
		{name: "br", encoding: "br", body: []byte{0, 1, 2}, want: contract.CodeBadAnswer},
		{name: "no gzip", encoding: "gzip", body: []byte{0, 1, 2}, want: contract.CodeBadAnswer},
		{name: "many", encoding: "gzip, gzip, gzip, gzip, gzip", body: []byte{0, 1, 2}, want: contract.CodeBadAnswer},
		{name: "cut off", body: plain, missing: 1, want: contract.CodeUnreachable},
		{name: "cut off at once", body: plain[:1], missing: 9, want: contract.CodeUnreachable},
		{name: "cut off in gzip", encoding: "gzip", body: coded(t, plain, "gzip")[:12], missing: 9, want: contract.CodeUnreachable},
		{name: "not found", body: plain, status: 404, want: contract.CodeManagerError},
	} {
		url, _ := rawServer(t, func(conn net.Conn, _ *http.Request) {
			fmt.Fprintf(conn, "HTTP/1.1 %d S\r\nContent-Length: %d\r\nContent-Encoding: %s\r\n\r\n", max(c.status, 200), len(c.body)+c.missing, c.encoding)
			_, _ = conn.Write(c.body)
		})
		var got []byte
		err := clientFor(t, url, nil).FetchCRL(t.Context(), func(from io.Reader) error {
			var err error
			got, err = io.ReadAll(from)
			return err
		})
		if c.want != "" {
			if contract.CodeOf(err) != c.want {
				t.Errorf("%s: got %v, want the code %s", c.name, err, c.want)
			}
			continue
		}
		want := plain
		if len(c.body) <= 20 {
			want = c.body
		}
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: got %d bytes, %v; want %d", c.name, len(got), err, len(want))
		}
	}
}
