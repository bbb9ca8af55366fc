package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdp "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/linux-patch/enroll/internal/testbuild"
)

// render makes the report's page of answers of hosts that no one has.
const render = `- hosts: localhost
  connection: local
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  gather_facts: false
  tasks:
    - ansible.builtin.template:
        src: "{{ templates }}/report.html.j2"
        dest: "{{ work }}/{{ item }}.html"
        mode: "0644"
      loop: "{{ sizes }}"
      vars:
        reports: "{{ lookup('ansible.builtin.file', work ~ '/' ~ item ~ '.json') | from_json }}"
        report_time: 2026-11-28 12:00 UTC
        rows: "{{ reports | list | linux_patch.api.report_rows(reports) }}"
        summary: "{{ rows | linux_patch.api.report_summary }}"
`

// hostile are names and texts that a page, a template or a script might obey.
var hostile = []string{
	"<script>window.pwned=1</script>", `"><img src=x onerror="window.pwned=1">`, "</table></div><h1>pwned", "{{ 7*7 }}", "a'b\"c&amp;",
	"\u202egnp.exe", "<!--", "</script><script>window.pwned=1//", "http://192.0.2.99/x", strings.Repeat("x", 300),
}

type object = map[string]any

// answers are those of n hosts of which the first is broken in some way, and
// every other kind occurs where there is room.
func answers(n int, names ...string) object {
	hosts := object{}
	for i := range n {
		name := fmt.Sprintf("web%04d.example.com", i)
		days := 20 + i*37%340
		report := object{
			"state": "enrolled", "problems": []string{}, "machine_id": fmt.Sprintf("%032x", i), "fqdn": name, "days_left": days,
			"certificates": certificatesOf(fmt.Sprintf("CN=CA %d", i%2), days),
		}
		switch i % 12 {
		case 1:
			report["renewal_due"] = true
		case 2:
			report = object{"state": "pending", "pending_since": "2026-11-28T10:00:00Z"}
		case 3:
			report = object{"unreachable": true, "msg": "no route"}
		case 4:
			report["problems"] = []string{"the key is open"}
		case 5:
			report["machine_id"] = fmt.Sprintf("%032x", 0)
		case 6:
			report["days_left"], report["certificates"] = -3, certificatesOf("CN=CA 0", -3)
		}
		hosts[name] = object{"enroll_report": report}
	}
	for _, text := range names {
		hosts[text] = object{"enroll_report": object{
			"state": "enrolled", "problems": []string{text}, "warnings": []string{text}, "machine_id": text, "fqdn": text, "days_left": 9,
			"certificates": certificatesOf(text, 9), "manager": object{"url": text}, "whitelist": object{"present": true, "covered_by": text},
		}}
	}
	return hosts
}

func certificatesOf(issuer string, days int) object {
	end := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).AddDate(0, 0, days)
	return object{"server": object{"issuer": issuer, "subject": issuer, "not_after": end.Format(time.RFC3339)}}
}

// browser is a page of the report in a real browser.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	faults   []string
}

func open(t *testing.T, file string) *browser {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.WindowSize(1300, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, _ = chromedp.NewContext(ctx)
	// Ended by Cancel, which waits for the browser and its directory.
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	ctx, end = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, b.heard)
	b.run(network.Enable(), chromedp.Navigate("file://"+file), chromedp.Poll(`!document.querySelector(".controls").hidden`, nil))
	return b
}

// heard notes what a page that needs nothing but itself does not do.
func (b *browser) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *cdp.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Error())
	case *page.EventJavascriptDialogOpening:
		b.faults = append(b.faults, "dialog: "+e.Message)
	}
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// column returns the texts of a column in the rows that are shown.
func (b *browser) column(n int) []string {
	b.t.Helper()
	var texts []string
	b.run(chromedp.Evaluate(fmt.Sprintf(`[...document.querySelectorAll(".hosts tbody tr")].filter((row) => getComputedStyle(row).display !== "none")
		.map((row) => (row.cells[%[1]d].querySelector("summary") || row.cells[%[1]d]).textContent)`, n), &texts))
	return texts
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	var text string
	b.run(chromedp.Evaluate(fmt.Sprintf("document.querySelector(%q).textContent", selector), &text))
	return text
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Evaluate(fmt.Sprintf("document.querySelector(%q).click()", selector), nil))
}

// write adds text to the filter, as an event of typing does.
func (b *browser) write(text string) {
	b.t.Helper()
	b.run(chromedp.Evaluate(fmt.Sprintf(`{ const f = document.querySelector("#filter"); f.value += %q; f.dispatchEvent(new Event("input")); undefined }`, text), nil))
}

func (b *browser) wantShown(what string, want int) {
	b.t.Helper()
	if got := len(b.column(0)); got != want {
		b.t.Errorf("%s: got %d rows shown, want %d", what, got, want)
	}
	if got := b.text(".shown"); !strings.HasPrefix(got, fmt.Sprintf("%d of ", want)) {
		b.t.Errorf("%s: got %q, want a count of %d", what, got, want)
	}
}

// wantOrder holds a column to an order; what a host does not have comes last.
func (b *browser) wantOrder(what string, column int, compare func(x, y string) int) {
	b.t.Helper()
	texts := b.column(column)
	filled := slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return s == "-" })
	if !slices.IsSortedFunc(filled, compare) || slices.Contains(texts[:len(filled)], "-") {
		b.t.Errorf("%s: got %.400q, want it sorted, with - last", what, texts)
	}
}

func byNumber(x, y string) int {
	var a, b int
	fmt.Sscan(x, &a)
	fmt.Sscan(y, &b)
	return a - b
}

// TestReportInABrowser shows the page with one, a few and thousands of hosts, and
// with hosts that call themselves what a page might obey.
func TestReportInABrowser(t *testing.T) {
	if err := testbuild.Tie([]string{tarball}); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skipf("no browser: %v; it is in Debian's chromium", err)
	}
	work := t.TempDir()
	fleets := map[string]object{"1": answers(1), "12": answers(12), "hostile": answers(0, hostile...), "5000": answers(5000)}
	for name, fleet := range fleets {
		raw, err := json.Marshal(fleet)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, name+".json"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	renderAll(t, work)
	t.Run("1", func(t *testing.T) { open(t, work+"/1.html").alone() })
	t.Run("12", func(t *testing.T) { open(t, work+"/12.html").sortsAndFilters(12) })
	t.Run("5000", func(t *testing.T) { open(t, work+"/5000.html").sortsAndFilters(5000) })
	t.Run("hostile", func(t *testing.T) { open(t, work+"/hostile.html").showsNames() })
}

func renderAll(t *testing.T, work string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(work, "render.yml"), []byte(render), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(ansible, "ansible-playbook"), "-i", "localhost,", "render.yml", "-e",
		fmt.Sprintf(`{"work": %q, "templates": %q, "sizes": ["1", "12", "hostile", "5000"]}`, work, collections+"/ansible_collections/linux_patch/api/playbooks/templates"))
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "ANSIBLE_COLLECTIONS_PATH="+collections, "ANSIBLE_HOME="+work, "ANSIBLE_LOCAL_TEMP="+work+"/tmp", "ANSIBLE_REMOTE_TEMP="+work+"/tmp", "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("got %v\n%s, want no error", err, out)
	}
}

// wantAlone fails where the page fetched something or a script of a name ran.
func (b *browser) wantAlone() {
	b.t.Helper()
	var pwned bool
	b.run(chromedp.Evaluate("window.pwned !== undefined", &pwned))
	b.mu.Lock()
	defer b.mu.Unlock()
	if pwned || len(b.requests) != 1 || len(b.faults) > 0 {
		b.t.Errorf("got pwned %v, requests %q, faults %q, want one request and nothing else", pwned, b.requests, b.faults)
	}
}

func (b *browser) alone() {
	b.wantShown("one host", 1)
	if got := b.text("header p"); !strings.HasPrefix(got, "1 host,") {
		b.t.Errorf("got %q, want one host", got)
	}
	b.click("details summary")
	b.run(chromedp.Poll(`document.querySelector("details dl").checkVisibility()`, nil))
	b.wantAlone()
}

func (b *browser) sortsAndFilters(n int) {
	b.wantShown("at first", n)
	b.wantOrder("soonest expiry first", 3, strings.Compare)
	click := func(column int) { b.click(fmt.Sprintf(".hosts th:nth-child(%d) button", column+1)) }
	click(2)
	b.wantOrder("days left", 2, byNumber)
	click(2)
	b.wantOrder("days left, descending", 2, func(x, y string) int { return byNumber(y, x) })
	click(0)
	b.wantOrder("host", 0, strings.Compare)

	total := 0
	for _, kind := range []string{"good", "waiting", "due", "bad"} {
		tile := fmt.Sprintf(`.tile[data-kind=%s]`, kind)
		count := 0
		fmt.Sscan(b.text(tile+" b"), &count)
		total += count
		b.click(tile)
		b.wantShown(kind, count)
		if days := b.column(2); kind == "good" && slices.ContainsFunc(days, func(s string) bool { return strings.HasPrefix(s, "-") }) {
			b.t.Errorf("got days left %.400q among the hosts that are well, want none below 0", days)
		}
		b.click(tile)
	}
	if total != n {
		b.t.Errorf("got %d hosts in the tiles, want %d", total, n)
	}
	b.click(".tile[data-kind=twice]")
	twice := 0
	fmt.Sscan(b.text(".tile[data-kind=twice] b"), &twice)
	b.wantShown("machine-ids that occur twice", twice)
	if twice < 2 || b.text("#duplicates + p + div code") != strings.Repeat("0", 32) {
		b.t.Errorf("got %d hosts with the machine-id of another, want at least two and the id", twice)
	}
	b.click(".tile[data-kind=twice]")
	b.write("WEB0001")
	b.wantShown("filter", 1)
	b.click(".tile[data-kind=good]")
	b.wantShown("filter within a tile of others", 0)
	b.click(".tile[data-kind=due]")
	b.wantShown("filter within its tile", 1)
	b.click(".tile[data-kind=due]")
	b.write(" no such host")
	b.wantShown("a filter that fits nothing", 0)
	if got := b.text("#issuers + div"); !strings.Contains(got, "CN=CA 0") || !strings.Contains(got, "CN=CA 1") {
		b.t.Errorf("got issuers %q, want both", got)
	}
	b.wantAlone()
}

func (b *browser) showsNames() {
	b.wantShown("hostile names", len(hostile))
	got := b.column(0)
	plain := strings.NewReplacer("\u202e", "\uFFFD", "{{", "{ {")
	for _, name := range hostile {
		if want := plain.Replace(name); !slices.ContainsFunc(got, func(s string) bool { return s == want || len(s) > 100 && strings.HasPrefix(want, s[:100]) }) {
			b.t.Errorf("got %q, want %q as text", got, want)
		}
	}
	var heads int
	b.run(chromedp.Evaluate(`document.querySelectorAll("h1, img, .hosts script").length`, &heads))
	if heads != 1 {
		b.t.Errorf("got %d elements that names could have made, want the one heading", heads)
	}
	b.wantAlone()
}
