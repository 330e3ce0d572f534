// Custom-metrics serves custom.metrics.k8s.io from Prometheus, for autoscalers with Pods and Object metrics.
//
//	--prometheus http://prometheus:9090   where Prometheus is
//	--rule "REGEX => PROMQL"              how a metric is computed; the first rule that fits its name counts
//
// In PROMQL, ${1} is a group of REGEX, <by> the label with the name of the object (pod for pods, service for services),
// and <labels> selects the objects and their namespace. A metric without values does not exist.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider/helpers"
)

const limit = 5 * time.Second

type rule struct {
	name  *regexp.Regexp
	query string
}

type adapter struct {
	prometheus string
	rules      []rule
	client     dynamic.Interface
	mapper     apimeta.RESTMapper
}

// answer is that of Prometheus to an instant query.
type answer struct {
	Error string `json:"error"`
	Data  struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
		} `json:"result"`
	} `json:"data"`
}

// matcher returns the matcher of PromQL for a requirement of a selector.
func matcher(wanted labels.Requirement) string {
	quoted := make([]string, 0, len(wanted.Values()))
	for value := range wanted.Values() {
		quoted = append(quoted, regexp.QuoteMeta(value))
	}
	values := strconv.Quote(strings.Join(quoted, "|"))
	switch wanted.Operator() {
	case selection.Exists:
		return wanted.Key() + `!=""`
	case selection.DoesNotExist:
		return wanted.Key() + `=""`
	case selection.NotEquals, selection.NotIn:
		return wanted.Key() + "!~" + values
	default:
		return wanted.Key() + "=~" + values
	}
}

// promql returns the query for a metric of objects of one namespace, and the label with their names; "" without a rule.
func (adapter *adapter) promql(namespace string, names []string, info provider.CustomMetricInfo, selector labels.Selector) (string, string, error) {
	_, by, err := info.Normalized(adapter.mapper)
	if err != nil {
		return "", "", err
	}
	quoted := make([]string, len(names))
	for index, name := range names {
		quoted[index] = regexp.QuoteMeta(name)
	}
	matchers := []string{by + "=~" + strconv.Quote(strings.Join(quoted, "|"))}
	if namespace != "" {
		matchers = append(matchers, "namespace="+strconv.Quote(namespace))
	}
	if wanted, selectable := selector.Requirements(); selectable {
		for _, each := range wanted {
			matchers = append(matchers, matcher(each))
		}
	}
	for _, rule := range adapter.rules {
		if found := rule.name.FindStringSubmatchIndex(info.Metric); found != nil {
			query := string(rule.name.ExpandString(nil, rule.query, info.Metric, found))
			return strings.NewReplacer("<by>", by, "<labels>", strings.Join(matchers, ",")).Replace(query), by, nil
		}
	}
	return "", by, nil
}

// values returns what Prometheus has for each object, by its name.
func (adapter *adapter) values(ctx context.Context, query, by string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	address := adapter.prometheus + "/api/v1/query?query=" + url.QueryEscape(query)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	found := answer{}
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil {
		return nil, fmt.Errorf("%s: %w", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", query, found.Error)
	}
	values := map[string]float64{}
	for _, each := range found.Data.Result {
		text, _ := each.Value[1].(string)
		// Not a number: the ratio of two metrics that are zero, for example.
		if value, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
			values[each.Metric[by]] = value
		}
	}
	return values, nil
}

func (adapter *adapter) of(ctx context.Context, namespace string, names []string, info provider.CustomMetricInfo, selector labels.Selector) ([]custom_metrics.MetricValue, error) {
	query, by, err := adapter.promql(namespace, names, info, selector)
	if err != nil || query == "" || len(names) == 0 {
		return nil, err
	}
	values, err := adapter.values(ctx, query, by)
	if err != nil {
		return nil, err
	}
	found := []custom_metrics.MetricValue{}
	for _, name := range names {
		value, known := values[name]
		if !known {
			continue
		}
		object, err := helpers.ReferenceFor(adapter.mapper, types.NamespacedName{Namespace: namespace, Name: name}, info)
		if err != nil {
			return nil, err
		}
		found = append(found, custom_metrics.MetricValue{
			DescribedObject: object,
			Metric:          custom_metrics.MetricIdentifier{Name: info.Metric},
			Timestamp:       meta.Now(),
			Value:           *resource.NewMilliQuantity(int64(value*1000), resource.DecimalSI),
		})
	}
	return found, nil
}

func (adapter *adapter) GetMetricByName(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo, selector labels.Selector) (*custom_metrics.MetricValue, error) {
	found, err := adapter.of(ctx, name.Namespace, []string{name.Name}, info, selector)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, provider.NewMetricNotFoundForError(info.GroupResource, info.Metric, name.Name)
	}
	return &found[0], nil
}

func (adapter *adapter) GetMetricBySelector(ctx context.Context, namespace string, objects labels.Selector, info provider.CustomMetricInfo, selector labels.Selector) (*custom_metrics.MetricValueList, error) {
	names, err := helpers.ListObjectNames(adapter.mapper, adapter.client, namespace, objects, info)
	if err != nil {
		return nil, err
	}
	found, err := adapter.of(ctx, namespace, names, info, selector)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, provider.NewMetricNotFoundError(info.GroupResource, info.Metric)
	}
	return &custom_metrics.MetricValueList{Items: found}, nil
}

// ListAllMetrics is for discovery only: any metric of Prometheus may be read.
func (adapter *adapter) ListAllMetrics() []provider.CustomMetricInfo {
	return nil
}

func parsed(texts []string) []rule {
	rules := []rule{}
	for _, text := range texts {
		name, query, found := strings.Cut(text, " => ")
		pattern, err := regexp.Compile("^(?:" + name + ")$")
		if !found || err != nil {
			log.Fatalf("found --rule=%q, expected REGEX => PROMQL (%v)", text, err)
		}
		rules = append(rules, rule{pattern, query})
	}
	return rules
}

func main() {
	base := &cmd.AdapterBase{Name: "custom-metrics", DiscoveryInterval: time.Minute}
	prometheus := base.Flags().String("prometheus", "", "where Prometheus is")
	texts := base.Flags().StringArray("rule", nil, "REGEX => PROMQL")
	if err := base.Flags().Parse(os.Args); err != nil {
		log.Fatal(err)
	}
	client, err := base.DynamicClient()
	if err != nil {
		log.Fatal(err)
	}
	mapper, err := base.RESTMapper()
	if err != nil {
		log.Fatal(err)
	}
	base.WithCustomMetrics(&adapter{strings.TrimSuffix(*prometheus, "/"), parsed(*texts), client, mapper})
	log.Fatal(base.Run(context.Background()))
}
