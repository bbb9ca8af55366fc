package manager

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/afero"
)

// maxAnswer bounds what the command line reads of one answer.
const maxAnswer = 256 << 20

// adminClient calls the admin API of the manager that runs on a data
// directory. It trusts that manager's CA alone and uses no proxy.
type adminClient struct {
	http  *http.Client
	base  string
	token string
}

// apiError is an answer other than success.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string { return fmt.Sprintf("the manager answers %d: %s", e.status, e.text) }

func (e *apiError) Is(target error) bool {
	return e.status == http.StatusNotFound && target == ErrNotFound ||
		e.status == http.StatusConflict && target == ErrHostExists
}

// connect reads URL, CA and admin token from the data directory, and sees that
// the token is right.
func connect(ctx context.Context, f afero.Afero, dir string) (*adminClient, error) {
	url, err := f.ReadFile(filepath.Join(dir, fileURL))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exitf(exitUnreachable, "no manager runs on %s: start one with linux_patch_manager serve --data %s", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	token, err := readToken(f, filepath.Join(dir, fileAdminToken))
	if err != nil {
		return nil, err
	}
	caPEM, err := f.ReadFile(filepath.Join(dir, fileCA))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(dir, fileCA))
	}
	c := &adminClient{
		base: strings.TrimSpace(string(url)),
		http: &http.Client{
			Timeout:   time.Minute,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}},
		},
	}
	c.token = token
	if err := c.call(ctx, http.MethodGet, pathReference, nil, nil); err != nil {
		return nil, fmt.Errorf("log in with %s: %w", filepath.Join(dir, fileAdminToken), err)
	}
	return c, nil
}

// call sends in as JSON, unless nil, and reads the answer into out, unless nil.
func (c *adminClient) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return &exitError{exitUnreachable, err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &exitError{exitUnreachable, fmt.Errorf("read the answer to %s %s: %w", method, path, err)}
	}
	if resp.StatusCode >= 300 {
		var e struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(raw, &e) != nil || e.Error == "" {
			e.Error = http.StatusText(resp.StatusCode)
		}
		return &apiError{resp.StatusCode, e.Error}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}
