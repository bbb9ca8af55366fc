package enroll

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
)

// OnThisHost makes an Enroller over the real host. program is what managers
// and the audit log see; secret is told each secret as soon as it is known.
func OnThisHost(program string, secret func(string)) (*Enroller, error) {
	root, err := hostfs.OpenRoot("/")
	if err != nil {
		return nil, contract.Errorf(contract.CodeFilesystem, "the file system's root cannot be opened: %w", err)
	}
	plain := afero.NewOsFs()
	files := hostfs.New(root, hostfs.Options{
		UID: os.Geteuid(), GID: os.Getegid(), Now: time.Now, Random: rand.Reader,
	})
	return &Enroller{
		Files:    files,
		Given:    plain,
		Identity: identity.System(plain),
		Accounts: options.HostAccounts{},
		Dial: func(o managerclient.Options) (converse.ManagerClient, error) {
			return managerclient.New(o)
		},
		Audit: func(path string) audit.Recorder {
			return audit.New(files.OpenLog, path, audit.Actor{
				Program: program, UID: os.Geteuid(), User: os.Getenv("SUDO_USER"), PID: os.Getpid(),
			}, time.Now)
		},
		LookupIP: net.DefaultResolver.LookupNetIP,
		Now:      time.Now,
		Rand:     mathrand.Float64,
		Secret:   secret,
		Progress: func(converse.Progress) {},
		Program:  program,
	}, nil
}
