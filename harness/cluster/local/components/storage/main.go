// The provisioner of the default StorageClass: a folder on the node of the first pod that uses the claim, removed with
// the claim. One process runs on every node and works for the claims of that node only.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	events "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

const (
	selectedNode  = "volume.kubernetes.io/selected-node"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	hostname      = "kubernetes.io/hostname"
	// Everything is looked at again this often, so that no lost event leaves a claim pending.
	resync = 30 * time.Second
)

// One object to look at: a claim that may need a volume, or a volume that may be released.
type key struct{ kind, namespace, name string }

type provisioner struct {
	name, node, root string
	client           kubernetes.Interface
	claims           corelisters.PersistentVolumeClaimLister
	volumes          corelisters.PersistentVolumeLister
	classes          storagelisters.StorageClassLister
	queue            workqueue.TypedRateLimitingInterface[key]
	events           record.EventRecorder
}

func main() {
	name := flag.String("provisioner", "", "the provisioner's name in storage classes")
	root := flag.String("root", "", "the folder on the node that holds the volumes")
	flag.Parse()
	node := os.Getenv("NODE_NAME")
	if *name == "" || !filepath.IsAbs(*root) || node == "" {
		log.Fatal("-provisioner, an absolute -root and the variable NODE_NAME are required")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	newProvisioner(client, *name, node, filepath.Clean(*root)).run(ctx)
}

func newProvisioner(client kubernetes.Interface, name, node, root string) *provisioner {
	return &provisioner{
		name: name, node: node, root: root, client: client,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[key](100*time.Millisecond, 10*time.Second)),
	}
}

func (p *provisioner) run(ctx context.Context) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&events.EventSinkImpl{Interface: p.client.CoreV1().Events("")})
	p.events = broadcaster.NewRecorder(scheme.Scheme, core.EventSource{Component: p.name, Host: p.node})

	factory := informers.NewSharedInformerFactory(p.client, resync)
	claims, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	p.claims, p.volumes, p.classes = claims.Lister(), volumes.Lister(), factory.Storage().V1().StorageClasses().Lister()
	// A claim that comes before its class is looked at again at the next resync.
	factory.Storage().V1().StorageClasses().Informer()
	p.follow(claims.Informer(), "claim")
	p.follow(volumes.Informer(), "volume")
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	go func() {
		<-ctx.Done()
		p.queue.ShutDown()
	}()
	for {
		item, over := p.queue.Get()
		if over {
			return
		}
		if err := p.reconcile(ctx, item); err != nil {
			log.Printf("%s %s/%s: %v", item.kind, item.namespace, item.name, err)
			p.queue.AddRateLimited(item)
		} else {
			p.queue.Forget(item)
		}
		p.queue.Done(item)
	}
}

func (p *provisioner) follow(informer cache.SharedIndexInformer, kind string) {
	add := func(object any) {
		if found, ok := object.(meta.Object); ok {
			p.queue.Add(key{kind, found.GetNamespace(), found.GetName()})
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, object any) { add(object) },
	})
	if err != nil {
		log.Fatal(err)
	}
}

func (p *provisioner) reconcile(ctx context.Context, item key) error {
	if item.kind == "claim" {
		claim, err := p.claims.PersistentVolumeClaims(item.namespace).Get(item.name)
		if err != nil {
			return ignoreAbsence(err)
		}
		return p.provision(ctx, claim)
	}
	volume, err := p.volumes.Get(item.name)
	if err != nil {
		return ignoreAbsence(err)
	}
	return p.remove(ctx, volume)
}

// provision makes the folder and the volume of a claim that the scheduler has given to this node.
func (p *provisioner) provision(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil ||
		claim.Annotations[selectedNode] != p.node {
		return nil
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil || class.Provisioner != p.name {
		return ignoreAbsence(err)
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == core.PersistentVolumeBlock {
		p.events.Event(claim, core.EventTypeWarning, "ProvisioningFailed", "block volumes are not supported: a volume is a folder")
		return nil
	}
	name := "pvc-" + string(claim.UID)
	path := filepath.Join(p.root, strings.Join([]string{name, claim.Namespace, claim.Name}, "_"))
	// Pods of any user write to it, and the umask would take that right away.
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	reclaim := core.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	kind := core.HostPathDirectoryOrCreate
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: p.name}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: reclaim,
			StorageClassName:              class.Name,
			ClaimRef: &core.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: path, Type: &kind}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
				MatchExpressions: []core.NodeSelectorRequirement{{Key: hostname, Operator: core.NodeSelectorOpIn, Values: []string{p.node}}},
			}}}},
		},
	}, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	p.events.Event(claim, core.EventTypeNormal, "ProvisioningSucceeded", "provisioned volume "+name)
	return nil
}

// remove deletes a released volume of this node, its folder first: a volume that is gone has no folder left.
func (p *provisioner) remove(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Annotations[provisionedBy] != p.name || volume.Status.Phase != core.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete ||
		volume.DeletionTimestamp != nil || volume.Spec.HostPath == nil || !p.isHere(volume) {
		return nil
	}
	path := filepath.Clean(volume.Spec.HostPath.Path)
	if filepath.Dir(path) != p.root {
		return fmt.Errorf("found the path %s, expected one below %s", path, p.root)
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return ignoreAbsence(p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{}))
}

func (p *provisioner) isHere(volume *core.PersistentVolume) bool {
	if volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil {
		return false
	}
	for _, term := range volume.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, wanted := range term.MatchExpressions {
			if wanted.Key == hostname && len(wanted.Values) == 1 && wanted.Values[0] == p.node {
				return true
			}
		}
	}
	return false
}

func ignoreAbsence(err error) error {
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
