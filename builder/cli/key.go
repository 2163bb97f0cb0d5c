package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cloudy/builder/fail"
	"cloudy/builder/report"
	"cloudy/builder/sign"
)

func (a *App) keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "key COMMAND",
		GroupID: groupImage,
		Short:   "Make keys to sign images with",
		Long:    "Keys and signatures are those of minisign(1): either program reads what the other\nwrites.",
		Example: "  cloudy key generate release.key",
	}
	c.AddCommand(a.keyGenerateCommand())
	return c
}

func (a *App) keyGenerateCommand() *cobra.Command {
	var open bool
	c := &cobra.Command{
		Use:   "generate FILE",
		Short: "Make a key pair: FILE, which is secret, and FILE.pub",
		Long: `Make a key pair. FILE is the secret key, encrypted with a password that is asked
for, or taken from CLOUDY_KEY_PASSWORD; --no-password leaves it open, for a CI that
keeps it as a secret itself. FILE.pub is for those who verify.`,
		Example: "  cloudy key generate release.key\n  cloudy key generate ci.key --no-password",
		Args:    between(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			password := ""
			if !open {
				var err error
				if password, err = a.newPassword(); err != nil {
					return err
				}
			}
			k, err := sign.Generate()
			if err != nil {
				return err
			}
			if err := k.WriteKeys(args[0], password); err != nil {
				return err
			}
			printf(a.Out, "%s\n", k.Public())
			printf(a.Err, "key %s: keep %s secret, give %s.pub to those who verify\n", k.Public().ID(), args[0], args[0])
			return nil
		},
	}
	c.Flags().BoolVar(&open, "no-password", false, "do not encrypt the secret key")
	return c
}

// passwordVar is the variable with the password of a secret key.
const passwordVar = "CLOUDY_KEY_PASSWORD"

// newPassword asks for a password twice.
func (a *App) newPassword() (string, error) {
	if p := os.Getenv(passwordVar); p != "" {
		return p, nil
	}
	p, err := a.password("Password of the new key: ")
	if err != nil {
		return "", err
	}
	if p == "" {
		return "", fail.WithHint(fail.User, errors.New("the password is empty"), "--no-password makes a key without one")
	}
	again, err := a.password("Once more: ")
	if err == nil && again != p {
		err = fail.Mark(fail.User, errors.New("the two passwords differ"))
	}
	return p, err
}

// password asks for a password on the terminal.
func (a *App) password(prompt string) (string, error) {
	in, ok := a.In.(*os.File)
	if !ok || !isTerminal(in) {
		return "", fail.WithHint(fail.User, errors.New("the key wants a password, and there is no terminal to ask on"), "put it into the variable "+passwordVar)
	}
	printf(a.Err, "%s", prompt)
	p, err := term.ReadPassword(int(in.Fd()))
	printf(a.Err, "\n")
	if err != nil {
		return "", fail.Mark(fail.Host, fmt.Errorf("read the password: %w", err))
	}
	return string(p), nil
}

// secretKey reads the key that a flag names.
func (a *App) secretKey(path string) (sign.Secret, error) {
	return sign.ReadSecret(path, func() (string, error) {
		if p := os.Getenv(passwordVar); p != "" {
			return p, nil
		}
		return a.password("Password of " + path + ": ")
	})
}

func (a *App) signCommand() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:     "sign FILE...",
		GroupID: groupImage,
		Short:   "Sign files, as minisign does",
		Long: `Write the signature of each file beside it, as FILE.minisig. Signing a file of
checksums signs all that it names. SOURCE_DATE_EPOCH, where it is set, is the time
in the signature, which is the same each time then.`,
		Example: "  cloudy sign --key release.key out/node-amd64.SHA256SUMS",
		Args:    between(1, -1),
		RunE: func(_ *cobra.Command, args []string) error {
			if key == "" {
				return fail.WithHint(fail.User, errors.New("no key to sign with"), "name it with --key; 'cloudy key generate' makes one")
			}
			at := time.Now()
			epoch, err := sourceDateEpoch()
			if err != nil {
				return err
			}
			if epoch != nil {
				at = time.Unix(*epoch, 0)
			}
			k, err := a.secretKey(key)
			if err != nil {
				return err
			}
			for _, f := range args {
				if err := signFile(k, f, at); err != nil {
					return err
				}
				printf(a.Out, "%s\n", filepath.ToSlash(f+sign.Suffix))
			}
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "", "`file` of the secret key")
	return c
}

func signFile(k sign.Secret, path string, at time.Time) error {
	err := k.File(path, at)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = fail.Mark(fail.User, err)
	}
	return err
}

func (a *App) verifyCommand() *cobra.Command {
	var keys []string
	c := &cobra.Command{
		Use:     "verify FILE|FOLDER...",
		GroupID: groupImage,
		Short:   "Verify signatures and checksums",
		Long: `Verify signed images. FILE may be an image with a signature of its own or a signed
file of checksums beside it, or such a file of checksums: then all that it names is
verified. FOLDER stands for all files of checksums in it. The exit status is 1 when
something is not what was signed.`,
		Example: "  cloudy verify out --key release.key.pub\n  cloudy verify node-amd64.qcow2 --key RWT…",
		Args:    between(1, -1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(keys) == 0 {
				return fail.WithHint(fail.User, errors.New("no key to verify with"), "name it with --key: the .pub file or the key itself")
			}
			trusted, err := publicKeys(keys)
			if err != nil {
				return err
			}
			for _, p := range args {
				done, err := sign.Check(c.Context(), p, trusted...)
				if errors.Is(err, sign.ErrSignature) || errors.Is(err, report.ErrSum) || errors.Is(err, fs.ErrNotExist) {
					return fail.WithHint(fail.Build, err, "do not use these files: they are not what the owner of the key signed")
				}
				if err != nil {
					return err
				}
				for _, d := range done {
					printf(a.Out, "%s: signature is good: %s\n", filepath.ToSlash(d.Signed), strings.ReplaceAll(d.Comment, "\t", " "))
					for _, f := range d.Files {
						printf(a.Out, "%s: checksum is good\n", filepath.ToSlash(filepath.Join(filepath.Dir(d.Signed), f)))
					}
				}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&keys, "key", nil, "public `key`, or its file; may be given several times")
	return c
}

func publicKeys(args []string) ([]sign.Public, error) {
	var out []sign.Public
	for _, arg := range args {
		k, err := sign.ReadPublic(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}
