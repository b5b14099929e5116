import json,os,time,subprocess,sys
from cdc_users.topic import create_topic, delete_topics
from infra.stack.java import java_files, class_path
from confluent_kafka import Producer
e=json.load(open(os.environ["CDC_STACK"])); B=e["kafka_bootstrap"]
T="cdc_producer_ceiling"
try: delete_topics(B,[T])
except Exception as x: print(x)
time.sleep(1)
create_topic(B,T,4)
f=java_files(os.environ,lambda *a:None)
SIZE=345; N=300000
def java():
    out=subprocess.run([str(f.java),"-Xmx512m","-cp",class_path(f.kafka),"org.apache.kafka.tools.ProducerPerformance","--topic",T,"--num-records",str(N),"--record-size",str(SIZE),"--throughput","-1","--producer-props",f"bootstrap.servers={B}"],capture_output=True,text=True)
    print("java",out.stdout.strip().splitlines()[-1:],out.stderr[-300:])
def conf(**k): return {"bootstrap.servers":B,"queue.buffering.max.messages":200000,"linger.ms":5,"partitioner":"murmur2_random",**k}
def single(cb=True,**k):
    p=Producer(conf(**k)); v=b"x"*SIZE; n=[0]
    def d(err,msg): n[0]+=1
    def d2(err,msg): n[0]+=1; msg.latency()
    t=time.perf_counter(); c=os.times()
    for i in range(N):
        while True:
            try: p.produce(T,v,b"\0\0\0\0\4"+i.to_bytes(8,"big"),on_delivery=d if cb else None); break
            except BufferError: p.poll(0.01)
        if i%500==0: p.poll(0)
    p.flush(); w=time.perf_counter()-t; c2=os.times()
    print("produce",cb,k,round(N/w),n[0],"cpu us/rec",round((c2.user+c2.system-c.user-c.system)/N*1e6,2))
def batch(mode="shared",**k):
    p=Producer(conf(**k)); v=b"x"*SIZE; n=[0]
    def d(err,msg): n[0]+=1
    class C:
        __slots__=("i",)
        def __init__(s,i): s.i=i
        def __call__(s,e,m): n[0]+=1
    t=time.perf_counter(); c=os.times()
    i=0
    while i<N:
        ms=[{"key":b"\0\0\0\0\4"+j.to_bytes(8,"big"),"value":v} for j in range(i,i+500)]
        while ms:
            q=p.produce_batch(T,ms,on_delivery=d) if mode=="shared" else p.produce_batch(T,ms)
            if q<len(ms): ms=[m for m in ms if "_error" in m]; [m.pop("_error") for m in ms]; p.poll(0.01)
            else: ms=[]
        p.poll(0); i+=500
    p.flush(); w=time.perf_counter()-t; c2=os.times()
    print("batch",mode,k,round(N/w),n[0],"cpu us/rec",round((c2.user+c2.system-c.user-c.system)/N*1e6,2))
for r in range(2):
    java(); single(); single(False); batch(); batch("none"); single(**{"compression.type":"lz4"})
delete_topics(B,[T])
