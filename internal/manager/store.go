package manager

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// Pending is a request that waits for an administrator.
type Pending struct {
	ID          string          `json:"id"`
	MachineID   string          `json:"machine_id"`
	FQDN        string          `json:"fqdn"`
	Hostname    string          `json:"hostname"`
	IPAddress   netip.Addr      `json:"ip_address"`
	IPAddresses []netip.Addr    `json:"ip_addresses"`
	OSDetails   json.RawMessage `json:"os_details"`
	// Source is where the connection came from; all above is only claimed.
	Source    netip.Addr `json:"source"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	// Expired is set for the command line only.
	Expired bool `json:"expired,omitempty"`
}

// Host is an approved host.
type Host struct {
	ID         string          `json:"id"`
	MachineID  string          `json:"machine_id"`
	FQDN       string          `json:"fqdn"`
	IPAddress  netip.Addr      `json:"ip_address"`
	OSDetails  json.RawMessage `json:"os_details"`
	Serial     string          `json:"serial"`
	ApprovedAt time.Time       `json:"approved_at"`
	NotAfter   time.Time       `json:"not_after"`
	// ClientSerial is that of its client certificate, whose key only a
	// re-issue hands out.
	ClientSerial string   `json:"client_serial,omitempty"`
	Groups       []string `json:"groups,omitempty"`
}

// Certificate is what is recorded of an issued certificate.
type Certificate struct {
	Serial   string    `json:"serial"`
	CN       string    `json:"cn"`
	Usage    string    `json:"usage"`
	IssuedAt time.Time `json:"issued_at"`
	NotAfter time.Time `json:"not_after"`
	// ID and HostID are missing in rows of version 0.1.0, and HostID in those
	// of administrators.
	ID     string `json:"id,omitempty"`
	HostID string `json:"host_id,omitempty"`
}

// Revocation is an entry of the CRL.
type Revocation struct {
	Serial string    `json:"serial"`
	At     time.Time `json:"at"`
}

// storedPending is a row; the polling token is kept as its hash only.
type storedPending struct {
	Pending
	TokenHash string `json:"token_hash"`
}

// The buckets. Those named by… are indexes that lead to an id, and are what
// makes a column unique.
var (
	bPending        = []byte("pending")
	bPendingToken   = []byte("pending_by_token")
	bPendingMachine = []byte("pending_by_machine")
	bPendingExpiry  = []byte("pending_by_expiry")
	bDenied         = []byte("denied")
	bHosts          = []byte("hosts")
	bHostFQDN       = []byte("hosts_by_fqdn")
	bHostIP         = []byte("hosts_by_ip")
	bHostMachine    = []byte("hosts_by_machine")
	bIssued         = []byte("issued")
	bRevoked        = []byte("revoked")
	bMeta           = []byte("meta")
	bAccounts       = []byte("accounts")

	keyCRLNumber = []byte("crl_number")
	keyCA        = []byte("ca_sha256")
)

// store is the database: rows as JSON in bbolt. Its methods on a transaction
// are for callers that make several changes one.
type store struct{ db *bbolt.DB }

func openStore(path string) (*store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("open %s (is another manager running on it?): %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if err := checkRows(tx); err != nil {
			return err
		}
		for _, b := range [][]byte{bPending, bPendingToken, bPendingMachine, bPendingExpiry, bDenied, bHosts,
			bHostFQDN, bHostIP, bHostMachine, bIssued, bRevoked, bMeta, bAccounts} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return &store{db}, nil
}

func (st *store) close() error { return st.db.Close() }

func put(tx *bbolt.Tx, bucket []byte, key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Bucket(bucket).Put([]byte(key), raw)
}

// get reads a row into v, and says whether there is one.
func get(tx *bbolt.Tx, bucket []byte, key string, v any) (bool, error) {
	raw := tx.Bucket(bucket).Get([]byte(key))
	if raw == nil {
		return false, nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, fmt.Errorf("row %s of %s: %w", key, bucket, err)
	}
	return true, nil
}

// require is get for a row that has to be there.
func require(tx *bbolt.Tx, bucket []byte, key string, v any) error {
	ok, err := get(tx, bucket, key, v)
	if err == nil && !ok {
		return ErrNotFound
	}
	return err
}

// all lists every row of a bucket.
func all[T any](st *store, bucket []byte) (list []T, err error) {
	err = st.db.View(func(tx *bbolt.Tx) error {
		list, err = rows[T](tx, bucket)
		return err
	})
	return list, err
}

// rows is all in a transaction.
func rows[T any](tx *bbolt.Tx, bucket []byte) ([]T, error) {
	list := []T{}
	err := tx.Bucket(bucket).ForEach(func(k, raw []byte) error {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("row %s of %s: %w", k, bucket, err)
		}
		list = append(list, v)
		return nil
	})
	return list, err
}

type indexEntry struct {
	bucket []byte
	key    string
}

// add stores a row, and its id in the indexes that lead to it.
func add(tx *bbolt.Tx, bucket []byte, id string, v any, entries []indexEntry) error {
	err := put(tx, bucket, id, v)
	for _, e := range entries {
		if err == nil {
			err = tx.Bucket(e.bucket).Put([]byte(e.key), []byte(id))
		}
	}
	return err
}

// drop undoes add.
func drop(tx *bbolt.Tx, bucket []byte, id string, entries []indexEntry) error {
	err := tx.Bucket(bucket).Delete([]byte(id))
	for _, e := range entries {
		if err == nil {
			err = tx.Bucket(e.bucket).Delete([]byte(e.key))
		}
	}
	return err
}

func pendingIndexes(p storedPending) []indexEntry {
	return []indexEntry{
		{bPendingToken, p.TokenHash},
		{bPendingMachine, p.MachineID},
		{bPendingExpiry, expiryKey(p.ExpiresAt) + p.ID},
	}
}

// expiryKey sorts by time.
func expiryKey(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

func addPending(tx *bbolt.Tx, p storedPending) error {
	return add(tx, bPending, p.ID, p, pendingIndexes(p))
}

func dropPending(tx *bbolt.Tx, p storedPending) error {
	return drop(tx, bPending, p.ID, pendingIndexes(p))
}

// pendingNow reports whether a live request has this token; an expired one is
// not there.
func pendingNow(tx *bbolt.Tx, tokenHash string, now time.Time) (bool, error) {
	id := tx.Bucket(bPendingToken).Get([]byte(tokenHash))
	if id == nil {
		return false, nil
	}
	var p storedPending
	ok, err := get(tx, bPending, string(id), &p)
	return ok && now.Before(p.ExpiresAt), err
}

func addHost(tx *bbolt.Tx, h Host) error { return add(tx, bHosts, h.ID, h, hostIndexes(h)) }

func dropHost(tx *bbolt.Tx, h Host) error { return drop(tx, bHosts, h.ID, hostIndexes(h)) }

// hostIndexes: a machine_id is not unique among hosts, so its key ends in the
// host's id.
func hostIndexes(h Host) []indexEntry {
	return []indexEntry{
		{bHostFQDN, strings.ToLower(h.FQDN)},
		{bHostIP, h.IPAddress.String()},
		{bHostMachine, h.MachineID + "/" + h.ID},
	}
}

// hostTaken finds the host that has this FQDN or address already.
func hostTaken(tx *bbolt.Tx, fqdn string, ip netip.Addr) (h Host, taken bool, err error) {
	id := tx.Bucket(bHostFQDN).Get([]byte(strings.ToLower(fqdn)))
	if id == nil {
		id = tx.Bucket(bHostIP).Get([]byte(ip.String()))
	}
	if id == nil {
		return h, false, nil
	}
	_, err = get(tx, bHosts, string(id), &h)
	return h, true, err
}

func hostHasMachine(tx *bbolt.Tx, machineID string) bool {
	prefix := machineID + "/"
	k, _ := tx.Bucket(bHostMachine).Cursor().Seek([]byte(prefix))
	return strings.HasPrefix(string(k), prefix)
}

// nextCRLNumber counts up, as RFC 5280 section 5.2.3 asks of CRL numbers.
func nextCRLNumber(tx *bbolt.Tx) (uint64, error) {
	b := tx.Bucket(bMeta)
	var n uint64
	if raw := b.Get(keyCRLNumber); len(raw) == 8 {
		n = binary.BigEndian.Uint64(raw)
	}
	n++
	return n, b.Put(keyCRLNumber, binary.BigEndian.AppendUint64(nil, n))
}

// purge deletes expired requests and forgotten denials, and counts the
// requests that are left.
func (st *store) purge(now time.Time) (left int, err error) {
	var expired, forgotten []string
	err = st.db.View(func(tx *bbolt.Tx) error {
		left = tx.Bucket(bPending).Stats().KeyN
		end := expiryKey(now)
		c := tx.Bucket(bPendingExpiry).Cursor()
		for k, id := c.First(); k != nil && string(k[:len(end)]) <= end; k, id = c.Next() {
			expired = append(expired, string(id))
		}
		return tx.Bucket(bDenied).ForEach(func(k, raw []byte) error {
			var until time.Time
			if err := json.Unmarshal(raw, &until); err != nil || !now.Before(until) {
				forgotten = append(forgotten, string(k))
			}
			return nil
		})
	})
	if err != nil || len(expired)+len(forgotten) == 0 {
		return left, err
	}
	return left - len(expired), st.db.Update(func(tx *bbolt.Tx) error {
		for _, id := range expired {
			var p storedPending
			_, err := get(tx, bPending, id, &p)
			if err == nil {
				err = dropPending(tx, p)
			}
			if err != nil {
				return err
			}
		}
		for _, k := range forgotten {
			if err := tx.Bucket(bDenied).Delete([]byte(k)); err != nil {
				return err
			}
		}
		return nil
	})
}
