"""Small programs in the form that XLA prints, written by hand."""

TRAIN = """HloModule jit_step, is_scheduled=true, input_output_alias={ {0}: (0, {}, may-alias) }

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%fused_scatter (p0: bf16[8,6,6,4], p1: bf16[8,3,3,4], p2: s32[8,3,3,4]) -> bf16[8,6,6,4] {
  %p0 = bf16[8,6,6,4]{3,2,1,0} parameter(0)
  %p1 = bf16[8,3,3,4]{3,2,1,0} parameter(1)
  %p2 = s32[8,3,3,4]{3,2,1,0} parameter(2)
  ROOT %scatter.1 = bf16[8,6,6,4]{3,2,1,0} scatter(%p0, %p2, %p1), to_apply=%add
}

%fused_transpose (p: f32[3,3,2,4]) -> bf16[4,3,3,2] {
  %p = f32[3,3,2,4]{3,2,1,0} parameter(0)
  %t = f32[4,3,3,2]{3,2,1,0} transpose(%p), dimensions={3,0,1,2}
  ROOT %c = bf16[4,3,3,2]{3,2,1,0} convert(%t)
}

%fused_relu (p: bf16[8,6,6,4]) -> bf16[8,6,6,4] {
  %p = bf16[8,6,6,4]{3,2,1,0} parameter(0)
  %zero = bf16[] constant(0)
  %zeros = bf16[8,6,6,4]{3,2,1,0} broadcast(%zero), dimensions={}
  ROOT %m = bf16[8,6,6,4]{3,2,1,0} maximum(%p, %zeros)
}

ENTRY %main (kernel: f32[3,3,2,4], image: bf16[8,6,6,2]) -> (f32[3,3,2,4], bf16[8,6,6,4]) {
  %kernel = f32[3,3,2,4]{3,2,1,0} parameter(0), metadata={op_name="state.params['conv']"}
  %image = bf16[8,6,6,2]{3,2,1,0} parameter(1)
  %grad = bf16[8,24,24,4]{3,2,1,0} parameter(2)
  %mask = s32[8,3,3,4]{3,2,1,0} parameter(3)
  %pooled = bf16[8,3,3,4]{3,2,1,0} parameter(4)
  %a = bf16[16,32]{1,0} parameter(5)
  %b = bf16[32,5]{1,0} parameter(6)
  %laid = bf16[4,3,3,2]{3,2,1,0} fusion(%kernel), kind=kInput, calls=%fused_transpose
  %conv = (bf16[8,6,6,4]{3,2,1,0}, u8[1024]{0}) custom-call(%image, %laid), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward", metadata={op_name="jit(step)/jvp(FCN)/conv"}
  %y = bf16[8,6,6,4]{3,2,1,0} get-tuple-element(%conv), index=0
  %relu = bf16[8,6,6,4]{3,2,1,0} fusion(%y), kind=kLoop, calls=%fused_relu
  %filter = (bf16[4,3,3,2]{3,2,1,0}, u8[0]{0}) custom-call(%image, %relu), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardFilter"
  %input = (bf16[8,6,6,2]{3,2,1,0}, u8[0]{0}) custom-call(%relu, %laid), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardInput"
  %swapped = (bf16[2,3,3,4]{3,2,1,0}, u8[0]{0}) custom-call(%image, %grad), window={size=24x24 pad=10_10x10_10}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %gemm = (bf16[16,5]{1,0}, s8[33554432]{0}) custom-call(%a, %b), custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %unpooled = bf16[8,6,6,4]{3,2,1,0} fusion(%relu, %pooled, %mask), kind=kInput, calls=%fused_scatter
  %turned = bf16[4,8,6,6]{3,2,1,0} transpose(%unpooled), dimensions={3,0,1,2}
  %start = f32[3,3,2,4]{3,2,1,0} all-reduce-start(%kernel), replica_groups={{0,1}}, to_apply=%add
  %done = f32[3,3,2,4]{3,2,1,0} all-reduce-done(%start)
  ROOT %out = (f32[3,3,2,4]{3,2,1,0}, bf16[8,6,6,4]{3,2,1,0}) tuple(%done, %unpooled)
}
"""

TPU = """HloModule jit_scores

%fused_conv (p0: bf16[1,6,6,8], p1: bf16[3,3,8,4]) -> bf16[1,6,6,4] {
  %p0 = bf16[1,6,6,8]{3,2,1,0:T(8,128)(2,1)} parameter(0)
  %p1 = bf16[3,3,8,4]{3,2,1,0:T(8,128)(2,1)} parameter(1)
  ROOT %convolution.1 = bf16[1,6,6,4]{3,2,1,0:T(8,128)(2,1)} convolution(%p0, %p1), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f, metadata={op_name="jit(forward)/conv"}
}

%body (state: (s32[], f32[8])) -> (s32[], f32[8]) {
  %state = (s32[], f32[8]{0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %x = f32[8]{0} get-tuple-element(%state), index=1
  %more = f32[8]{0} add(%x, %x)
  ROOT %next = (s32[], f32[8]{0}) tuple(%i, %more)
}

%test (state: (s32[], f32[8])) -> pred[] {
  %state = (s32[], f32[8]{0}) parameter(0)
  ROOT %go = pred[] constant(true)
}

ENTRY %main (image: bf16[1,6,6,8], kernel: bf16[3,3,8,4]) -> bf16[1,6,6,4] {
  %image = bf16[1,6,6,8]{3,2,1,0:T(8,128)(2,1)} parameter(0)
  %kernel = bf16[3,3,8,4]{3,2,1,0:T(8,128)(2,1)} parameter(1)
  %copy-start.1 = (bf16[3,3,8,4]{3,2,1,0:T(8,128)(2,1)S(1)}, bf16[3,3,8,4]{3,2,1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%kernel)
  %copy-done.1 = bf16[3,3,8,4]{3,2,1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start.1)
  %init = (s32[], f32[8]{0}) parameter(2)
  %loop = (s32[], f32[8]{0}) while(%init), condition=%test, body=%body
  ROOT %fusion.1 = bf16[1,6,6,4]{3,2,1,0:T(8,128)(2,1)} fusion(%image, %copy-done.1), kind=kOutput, calls=%fused_conv
}
"""
