import java.io.BufferedWriter;
import java.io.File;
import java.io.FileWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.time.Duration;
import java.util.HashMap;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.core.fs.Path;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/**
 * Flink, as an expert writes it where SQL is too slow: DataStream jobs with a streaming JSON parser, keep-first dedup
 * that forgets with the watermark, parallelism 2 over the stream's two files, state on the heap, no checkpoints.
 *
 * <p>FlinkQueries QUERY DATA OUT (q1 to q3)
 */
public class FlinkQueries {
  public static class Event {
    public String id, user, ad, type;
    public long time;
    public double amount;

    public Event() {}
  }

  public static class Parse extends RichFlatMapFunction<String, Event> {
    private transient JsonFactory factory;

    @Override public void open(OpenContext context) { factory = new JsonFactory(); }

    @Override public void flatMap(String line, Collector<Event> out) {
      Event event = new Event();
      boolean hasTime = false, hasAmount = false;
      try (JsonParser json = factory.createParser(line)) {
        if (json.nextToken() != JsonToken.START_OBJECT) return;
        while (json.nextToken() != JsonToken.END_OBJECT) {
          String name = json.currentName();
          if (name == null) return;
          json.nextToken();
          switch (name) {
            case "event_id": event.id = json.getText(); break;
            case "user_id": event.user = json.getText(); break;
            case "ad_id": event.ad = json.getText(); break;
            case "event_type": event.type = json.getText(); break;
            case "event_time": event.time = json.getLongValue(); hasTime = true; break;
            case "amount": event.amount = json.getDoubleValue(); hasAmount = true; break;
            default: json.skipChildren();
          }
        }
      } catch (IOException malformed) {
        return;
      }
      if (event.id != null && hasTime && hasAmount) out.collect(event);
    }
  }

  public static class Dedup extends KeyedProcessFunction<String, Event, Event> {
    private transient ValueState<Boolean> seen;

    @Override public void open(OpenContext context) {
      seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Boolean.class));
    }

    @Override public void processElement(Event event, Context context, Collector<Event> out) throws Exception {
      if (event.time <= context.timerService().currentWatermark()) return; // so late only a re-send is
      if (seen.value() != null) return;
      seen.update(true);
      context.timerService().registerEventTimeTimer((event.time / 1000 + 1) * 1000);
      out.collect(event);
    }

    @Override public void onTimer(long time, OnTimerContext context, Collector<Event> out) { seen.clear(); }
  }

  /** Views only, with their campaign. */
  public static class Join extends RichFlatMapFunction<Event, Tuple2<String, Double>> {
    private final String file;
    private transient HashMap<String, String> campaigns;

    Join(String file) { this.file = file; }

    @Override public void open(OpenContext context) throws Exception {
      campaigns = new HashMap<>();
      for (String line : Files.readAllLines(Paths.get(file))) {
        int comma = line.indexOf(',');
        campaigns.put(line.substring(0, comma), line.substring(comma + 1));
      }
    }

    @Override public void flatMap(Event event, Collector<Tuple2<String, Double>> out) {
      if (event.type.equals("view")) out.collect(Tuple2.of(campaigns.get(event.ad), event.amount));
    }
  }

  public static class CountAndSum implements AggregateFunction<Tuple2<String, Double>, double[], double[]> {
    public double[] createAccumulator() { return new double[2]; }
    public double[] add(Tuple2<String, Double> value, double[] sum) { sum[0]++; sum[1] += value.f1; return sum; }
    public double[] getResult(double[] sum) { return sum; }
    public double[] merge(double[] a, double[] b) { a[0] += b[0]; a[1] += b[1]; return a; }
  }

  public static class WindowLine extends ProcessWindowFunction<double[], String, String, TimeWindow> {
    @Override public void process(String key, Context context, Iterable<double[]> values, Collector<String> out) {
      double[] sum = values.iterator().next();
      out.collect(key + "," + context.window().getStart() + "," + (long) sum[0] + "," + sum[1]);
    }
  }

  /** Totals of every user; told once, by a timer that the end of the input fires. */
  public static class Totals extends KeyedProcessFunction<String, Event, String> {
    private transient ValueState<Tuple3<Long, Double, Long>> totals;

    @Override public void open(OpenContext context) {
      totals = getRuntimeContext().getState(
          new ValueStateDescriptor<>("totals", TypeInformation.of(new TypeHint<Tuple3<Long, Double, Long>>() {})));
    }

    @Override public void processElement(Event event, Context context, Collector<String> out) throws Exception {
      Tuple3<Long, Double, Long> row = totals.value();
      if (row == null) {
        row = Tuple3.of(0L, 0.0, Long.MIN_VALUE);
        context.timerService().registerEventTimeTimer(Long.MAX_VALUE - 1);
      }
      row.f0++;
      row.f1 += event.amount;
      row.f2 = Math.max(row.f2, event.time);
      totals.update(row);
    }

    @Override public void onTimer(long time, OnTimerContext context, Collector<String> out) throws Exception {
      Tuple3<Long, Double, Long> row = totals.value();
      out.collect(context.getCurrentKey() + "," + row.f0 + "," + row.f1 + "," + row.f2);
    }
  }

  public static class Write extends RichFlatMapFunction<String, String> {
    private final String directory;
    private transient BufferedWriter file;

    Write(String directory) { this.directory = directory; }

    @Override public void open(OpenContext context) throws Exception {
      new File(directory).mkdirs();
      file = new BufferedWriter(new FileWriter(directory + "/result" + getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() + ".csv"));
    }

    @Override public void flatMap(String line, Collector<String> out) throws Exception { file.write(line); file.write('\n'); }

    @Override public void close() throws Exception { if (file != null) file.close(); }
  }

  public static void main(String[] arguments) throws Exception {
    String query = arguments[0], data = arguments[1], out = arguments[2];
    Configuration settings = new Configuration();
    settings.setString("parallelism.default", "2");
    settings.setString("rest.port", "0");
    settings.setString("pipeline.object-reuse", "true");
    settings.setString("state.backend.type", "hashmap");
    settings.setString("taskmanager.memory.managed.size", "512m");
    settings.setString("taskmanager.numberOfTaskSlots", "2");
    settings.setString("io.tmp.dirs", System.getProperty("java.io.tmpdir"));
    StreamExecutionEnvironment job = StreamExecutionEnvironment.getExecutionEnvironment(settings);
    job.setRuntimeMode(RuntimeExecutionMode.STREAMING);

    DataStream<Event> events =
        job.fromSource(
                FileSource.forRecordStreamFormat(new TextLineInputFormat(), new Path(data + "/two")).build(),
                WatermarkStrategy.noWatermarks(), "files")
            .flatMap(new Parse())
            .assignTimestampsAndWatermarks(
                WatermarkStrategy.<Event>forBoundedOutOfOrderness(Duration.ofSeconds(2)).withTimestampAssigner((e, t) -> e.time));
    DataStream<String> lines;
    if (query.equals("q2")) {
      lines = events.keyBy((KeySelector<Event, String>) e -> e.user).process(new Totals());
    } else if (query.equals("q1") || query.equals("q3")) {
      KeyedStream<Tuple2<String, Double>, String> views =
          events.keyBy((KeySelector<Event, String>) e -> e.id).process(new Dedup())
              .flatMap(new Join(data + "/campaigns.csv"))
              .keyBy((KeySelector<Tuple2<String, Double>, String>) v -> v.f0);
      lines = query.equals("q1")
          ? views.window(TumblingEventTimeWindows.of(Duration.ofSeconds(10))).aggregate(new CountAndSum(), new WindowLine())
          : views.window(SlidingEventTimeWindows.of(Duration.ofSeconds(60), Duration.ofSeconds(1))).aggregate(new CountAndSum(), new WindowLine());
    } else {
      throw new IllegalArgumentException("no such query: " + query);
    }
    lines.flatMap(new Write(out)).sinkTo(new DiscardingSink<>());
    job.execute(query);
  }
}
